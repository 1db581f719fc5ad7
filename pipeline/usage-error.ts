import { didYouMean } from './config/suggest.js';

/** Something the user can mend before anything starts; no stack trace. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError';
  readonly exitCode: number = 2;
}

/** No verdict is possible here (no GPU on CI, say), and nothing was started. */
export class NoVerdictError extends UsageError {
  override readonly name = 'NoVerdictError';
  override readonly exitCode = 3;
}

/** What was typed, and what could have been. */
export interface CommandLine {
  readonly args: readonly string[];
  /** The command as it is declared, e.g. `report <directory>`; undefined where there is none of that name. */
  readonly declared: string | undefined;
  readonly knownFlags: readonly string[];
}

/** yargs' message in the words of what was typed, with the flag that was probably meant. */
export function describeUsageError(message: string, { args, declared, knownFlags }: CommandLine): string {
  const [first] = args;
  const command = declared?.split(' ')[0]?.replace('simulate-', 'simulate ');
  const advice = `See lmcache-ci ${command === undefined ? '' : `${command} `}--help.`;
  if (message.startsWith('Not enough non-option arguments')) {
    if (command === 'step') return `A name is missing, e.g. lmcache-ci step long-doc-qa.\n${advice}`;
    return `${/<[^>]*>/.exec(declared ?? '')?.[0] ?? 'An argument'} is missing.\n${advice}`;
  }
  const valueless = /^Not enough arguments following: (.*)$/m.exec(message)?.[1];
  if (valueless) return `${dashed(valueless)} needs a value.\n${advice}`;
  const choice = /^ *Argument: (.*), Given: (.*), Choices: (.*)$/m.exec(message);
  if (choice) return `${describeChoice(declared ?? '', choice)}\n${advice}`;
  const meantCommand = /^Did you mean .*\?$/m.exec(message)?.[0];
  if (meantCommand)
    return `There is no command "${args.find((arg) => !arg.startsWith('-'))}". ${meantCommand}\n${advice}`;
  const unknown = /^Unknown arguments?: (.*)$/m.exec(message)?.[1];
  if (!unknown) return `${message}\n${advice}`;
  if (command === undefined && first !== undefined && !first.startsWith('-'))
    return `There is no command "${first}".\n${advice}`;
  // yargs names a kebab-case flag twice, in camel case too.
  const names = unknown
    .split(', ')
    .filter((name, _, all) => kebabCase(name) === name || !all.includes(kebabCase(name)));
  const surplus = names.filter((name) => flagAsTyped(name, args) === null);
  const lines = names.flatMap((name) => {
    const flag = flagAsTyped(name, args);
    if (flag === null) return [];
    const meant = didYouMean(name, knownFlags);
    return [`Unknown argument "${flag}"${meant ? `, did you mean --${meant}?` : ''}`];
  });
  if (surplus.length > 0) lines.push(describeSurplus(surplus, declared ?? ''));
  return `${lines.join('\n')}\n${advice}`;
}

/** @returns e.g. `--formt` as the person wrote it; null for a word that is no flag */
function flagAsTyped(name: string, args: readonly string[]): string | null {
  const flags = args.filter((arg) => arg.startsWith('-')).map((arg) => arg.split('=')[0] ?? arg);
  const exact = flags.find((flag) => flag.replace(/^--?(?:no-)?/, '') === name);
  if (exact !== undefined) return exact;
  const isShort = name.length === 1 && !args.includes(name);
  return isShort && flags.some((flag) => !flag.startsWith('--') && flag.includes(name)) ? `-${name}` : null;
}

function describeChoice(declared: string, [, argument = '', given = '', allowed = '']: readonly string[]): string {
  const names = allowed.split(', ').map((name) => name.replaceAll('"', ''));
  const meant = didYouMean(given.replaceAll('"', ''), names);
  const [command] = declared.split(' ');
  const what = declared.includes(`<${argument}>`) ? `${command} <${argument}>` : dashed(argument);
  return `${what}: ${given} is none of ${names.join(', ')}${meant ? `; did you mean ${meant}?` : ''}`;
}

function describeSurplus(surplus: readonly string[], declared: string): string {
  const given = surplus.map((word) => `"${word}"`).join(' ');
  const [command = '', ...takes] = declared.split(' ');
  const spoken = command.replace('simulate-', 'simulate ');
  return takes.length === 0
    ? `${spoken} takes flags only; given: ${given}.`
    : `${spoken} takes one ${takes.join(' ')}; more was given: ${given}.`;
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
