import { pythonRepr, pythonType } from './python-text.js';

/** Of the pydantic that the recorded servers ran. */
const PYDANTIC = 'https://errors.pydantic.dev/2.13/v';
/** Longer values are shown by their ends. */
const LONGEST_SHOWN = 50;

/** What is wrong with one value of an object that was to become one of a class. */
export interface Problem {
  /** Dotted; null: the whole. */
  readonly key: string | null;
  readonly type: string;
  readonly message: string;
  readonly input: unknown;
  /** pydantic has no page about it. */
  readonly isOwn?: boolean;
}

/** The text of pydantic's ValidationError, where nobody put it into a form of his own. */
export function pydanticReport(className: string, problems: readonly Problem[]): string {
  const count = `${problems.length} validation error${problems.length === 1 ? '' : 's'} for ${className}`;
  const each = problems.map(({ key, type, message, input, isOwn = false }) => {
    const shown = `[type=${type}, input_value=${shortened(pythonRepr(input))}, input_type=${pythonType(input)}]`;
    const place = key === null ? '' : `${key}\n`;
    const link = isOwn ? '' : `\n    For further information visit ${PYDANTIC}/${type}`;
    return `${place}  ${message} ${shown}${link}`;
  });
  return [count, ...each].join('\n');
}

function shortened(shown: string): string {
  if (shown.length <= LONGEST_SHOWN) return shown;
  const half = LONGEST_SHOWN / 2;
  return `${shown.slice(0, half)}...${shown.slice(shown.length - half + 1)}`;
}

export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
