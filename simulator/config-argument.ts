import { ArgumentTypeError } from './argparse.js';
import { quantizationShorthand, VALUE_CHECKS } from './config-value-checks.js';
import { WHOLE_CHECKS } from './config-whole-checks.js';
import { EngineConfigError } from './engine-config-error.js';
import { isJsonObject, type Problem, pydanticReport } from './http/pydantic-report.js';
import { pydanticJsonError } from './pydantic-json-error.js';
import { type PythonType, readType, typeProblems, type Wording } from './python-types.js';
import { CONFIG_FIELDS } from './vllm-config-fields.js';

type ConfigObject = Readonly<Record<string, unknown>>;

const CLASS_OF = /^@(\w+)/;
const types = new Map<string, PythonType>();

/**
 * A configuration as JSON, by the name of vLLM's class for it.
 * @throws ArgumentTypeError in pydantic's words where it is no JSON, no object, or has a key or a value that the class does
 * not take; EngineConfigError where vLLM's own check of a value fails otherwise.
 */
export function checkConfig(className: string, json: string): ConfigObject {
  const refuse = (problems: readonly Problem[]) => new ArgumentTypeError(pydanticReport(className, problems));
  const error = pydanticJsonError(json);
  if (error !== null) {
    throw refuse([{ key: null, type: 'json_invalid', message: `Invalid JSON: ${error}`, input: json }]);
  }
  const value = parsed(json);
  if (!isJsonObject(value)) throw refuse([noObject(null, value)]);
  const problems = problemsOf(className, value);
  if (problems.length > 0) throw refuse(problems);
  const whole = WHOLE_CHECKS[className]?.(value) ?? null;
  if (whole !== null)
    throw refuse([{ key: null, type: 'value_error', message: `Value error, ${whole}`, input: value }]);
  return value;
}

/** pydantic reads NaN and Infinity; nothing here has a use for them. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function noObject(key: string | null, input: unknown): Problem {
  return { key, type: 'dataclass_type', message: 'Input should be an object', input };
}

function problemsOf(className: string, value: ConfigObject, wording: Wording = 'json'): readonly Problem[] {
  const fields = CONFIG_FIELDS[className] ?? {};
  const known = Object.entries(fields).flatMap(([key, type]) =>
    key in value ? fieldProblems(key, type, value[key], wording) : [],
  );
  const unknown = Object.keys(value)
    .filter((key) => !(key in fields))
    .map((key) => ({
      key,
      type: 'unexpected_keyword_argument',
      message: 'Unexpected keyword argument',
      input: value[key],
    }));
  return [...known, ...unknown];
}

function fieldProblems(key: string, type: string, value: unknown, wording: Wording): readonly Problem[] {
  const nested = CLASS_OF.exec(type)?.[1];
  if (nested !== undefined) return nestedProblems(nested, key, value);
  if (type === 'quantization') {
    if (typeof value === 'string') return quantizationShorthand(key, value);
    return value === null ? [] : nestedProblems('QuantSpec', key, value);
  }
  const check = VALUE_CHECKS[type];
  if (check !== undefined) return check(key, value);
  return typeProblems(typeOf(type), value, wording).map(({ location, ...problem }) => ({
    ...problem,
    key: [key, ...location].join('.'),
  }));
}

function nestedProblems(className: string, key: string, value: unknown): readonly Problem[] {
  if (!isJsonObject(value)) return [noObject(key, value)];
  return problemsOf(className, value).map((problem) => ({ ...problem, key: `${key}.${problem.key}` }));
}

function typeOf(text: string): PythonType {
  const type = types.get(text) ?? readType(text);
  types.set(text, type);
  return type;
}

/**
 * A speculative configuration, which vLLM looks at only when the engine is made.
 * @throws EngineConfigError in pydantic's words
 */
export function checkSpeculativeConfig(given: ConfigObject): void {
  const value = Object.fromEntries(Object.entries(given).map(([key, item]) => [key.replaceAll('-', '_'), item]));
  const problems = problemsOf('SpeculativeConfig', value, 'python');
  if (problems.length === 0) return;
  throw new EngineConfigError(
    pydanticReport('SpeculativeConfig', problems),
    'pydantic_core._pydantic_core.ValidationError',
  );
}
