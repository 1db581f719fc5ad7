import { UsageError } from './usage-error.js';

/** What yargs was told of a command's options; an option's aliases are named by `alias`. */
export interface DeclaredOptions {
  readonly array: readonly string[];
  readonly boolean: readonly string[];
  readonly alias: Readonly<Record<string, readonly string[]>>;
}

/** What yargs lets pass: `--dry-run=1`, which it takes for false. */
export function findBadSwitches(args: readonly string[], { boolean, alias }: DeclaredOptions): readonly UsageError[] {
  const switches = spellings(boolean, alias);
  return args.flatMap((arg) => {
    const [, name = '', value = ''] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    return switches.has(name) && value !== 'true' && value !== 'false'
      ? [new UsageError(`--${name}="${value}": expected true or false, or --${name} alone. Nothing was started.`)]
      : [];
  });
}

/** A flag that is given twice counts with its last value, as in other programs and as settings do. */
export function settleValues(
  parsed: Readonly<Record<string, unknown>>,
  { array, alias }: DeclaredOptions,
): Readonly<Record<string, unknown>> {
  const lists = spellings(array, alias);
  const settled: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    const isList = name === '_' || lists.has(name);
    settled[name] = Array.isArray(value) && !isList ? value.at(-1) : value;
  }
  return settled;
}

function spellings(names: readonly string[], alias: DeclaredOptions['alias']): ReadonlySet<string> {
  return new Set(names.flatMap((name) => [name, ...(alias[name] ?? [])]).flatMap((name) => [name, camelCase(name)]));
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
