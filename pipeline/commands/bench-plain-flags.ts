import { benchFlagForms } from './bench-flags.js';

const valuesAtLeast = { switch: 0, text: 1, list: 1 } as const;
const valuesAtMost = { switch: 0, text: 1, list: Number.POSITIVE_INFINITY } as const;

/**
 * The flags of a plain command line as yargs reads them: `--name value`, `--name=value`, `--list a b`, `--switch`,
 * `--no-switch`, each once. What measures starts without yargs, which costs more time and memory than the whole client.
 * @returns null where anything else stands there: yargs is to read it, or to say what is wrong with it
 */
export function readPlainFlags(args: readonly string[]): Readonly<Record<string, unknown>> | null {
  const read = new Map<string, unknown>();
  let at = 0;
  while (at < args.length) {
    const [, negation, name = '', inPlace] = /^--(no-)?([a-z\d-]+)(?:=(.*))?$/s.exec(args[at] ?? '') ?? [];
    const form = benchFlagForms.get(name);
    if (form === undefined || read.has(name)) return null;
    const { kind, choices } = form;
    const next = args.findIndex((arg, index) => index > at && arg.startsWith('-'));
    const behind = args.slice(at + 1, next < 0 ? args.length : next);
    const values = inPlace === undefined ? behind : [inPlace, ...behind];
    const isPlain = (value: string): boolean =>
      value !== '' && !/^["']/.test(value) && (choices?.includes(value) ?? true);
    const fits =
      values.length >= valuesAtLeast[kind] &&
      values.length <= valuesAtMost[kind] &&
      values.every(isPlain) &&
      (negation === undefined || kind === 'switch') &&
      (inPlace === undefined || kind === 'text');
    if (!fits) return null;
    read.set(name, kind === 'switch' ? negation === undefined : kind === 'list' ? values : values[0]);
    at += 1 + behind.length;
  }
  return Object.fromEntries(read);
}
