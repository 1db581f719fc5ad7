import { UsageError } from './usage-error.js';

/** What yargs was told of a command's options; an option's aliases are named by `alias`. */
export interface DeclaredOptions {
  readonly array: readonly string[];
  readonly boolean: readonly string[];
  readonly alias: Readonly<Record<string, readonly string[]>>;
}

/**
 * What yargs lets pass: a flag that is given twice counts with its last value, as in other programs and as settings do.
 * @throws UsageError for `--dry-run=1`, which yargs takes for false
 */
export function settleValues(
  parsed: Readonly<Record<string, unknown>>,
  args: readonly string[],
  { array, boolean, alias }: DeclaredOptions,
): Readonly<Record<string, unknown>> {
  const spellings = (names: readonly string[]) =>
    new Set(names.flatMap((name) => [name, ...(alias[name] ?? [])]).flatMap((name) => [name, camelCase(name)]));
  const lists = spellings(array);
  const switches = spellings(boolean);
  for (const arg of args) {
    const [, name = '', value = ''] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (switches.has(name) && value !== 'true' && value !== 'false')
      throw new UsageError(`--${name}="${value}": expected true or false, or --${name} alone. Nothing was started.`);
  }
  const settled: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    const isList = name === '_' || lists.has(name);
    settled[name] = Array.isArray(value) && !isList ? value.at(-1) : value;
  }
  return settled;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
