import { didYouMean } from './config/suggest.js';

/** Something the user can mend: exit code 2, no stack trace, nothing was started. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** yargs' message, with the flag that was probably meant. */
export function describeUsageError(message: string, knownFlags: readonly string[]): string {
  const unknown = /^Unknown arguments?: (.*)$/m.exec(message)?.[1];
  if (!unknown) return `${message}\nSee lmcache-ci --help.`;
  // yargs names a kebab-case flag twice, in camel case too.
  const names = unknown.split(', ').filter((name, _, all) => name.includes('-') || !all.includes(kebabCase(name)));
  const lines = names.map((name) => {
    const meant = didYouMean(name, knownFlags);
    return `Unknown argument "${name.length > 1 ? `--${name}` : name}"${meant ? `, did you mean --${meant}?` : ''}`;
  });
  return `${lines.join('\n')}\nSee lmcache-ci --help.`;
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
