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

/** yargs' message, with the flag that was probably meant. */
export function describeUsageError(message: string, knownFlags: readonly string[], command?: string): string {
  if (message.startsWith('Not enough non-option arguments'))
    return command === 'step' || command === undefined
      ? 'A name is missing, e.g. lmcache-ci step long-doc-qa.\nSee lmcache-ci step --help.'
      : `An argument is missing.\nSee lmcache-ci ${command} --help.`;
  const unknown = /^Unknown arguments?: (.*)$/m.exec(message)?.[1];
  // Flags are known once a command was found.
  const found = knownFlags.length > 0 && command !== undefined ? `${command.replace('simulate-', 'simulate ')} ` : '';
  const advice = `See lmcache-ci ${found}--help.`;
  if (!unknown) return `${message}\n${advice}`;
  // yargs names a kebab-case flag twice, in camel case too.
  const names = unknown
    .split(', ')
    .filter((name, _, all) => kebabCase(name) === name || !all.includes(kebabCase(name)));
  const lines = names.map((name) => {
    const meant = didYouMean(name, knownFlags);
    return `Unknown argument "${name.length > 1 ? `--${name}` : name}"${meant ? `, did you mean --${meant}?` : ''}`;
  });
  return `${lines.join('\n')}\n${advice}`;
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
