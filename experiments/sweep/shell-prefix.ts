import { splitWords } from '../../engines/argument-words.js';

/** A `shell_command_prefix` that holds more than assignments. */
export class ShellPrefixError extends Error {
  override readonly name = 'ShellPrefixError';
}

const assignment = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/;
/** Only a shell could give these their meaning. */
const shellSigns = /[$`;&|<>]/;
const rule = 'allowed: NAME=value pairs with blanks between them; no shell runs them';

/**
 * The assignments before a command, `A=1 B="two words" `, as environment variables: parsed, never given to a shell.
 * @throws ShellPrefixError with the part in quotes and what is allowed.
 */
export function parseShellPrefix(prefix: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const word of words(prefix)) {
    const [, name, value] = assignment.exec(word) ?? [];
    if (name === undefined || value === undefined) throw new ShellPrefixError(`"${word}" is no assignment; ${rule}`);
    const sign = shellSigns.exec(value)?.[0];
    if (sign !== undefined) throw new ShellPrefixError(`"${word}" holds "${sign}"; ${rule}`);
    variables[name] = value;
  }
  return variables;
}

function words(prefix: string): readonly string[] {
  try {
    return splitWords(prefix);
  } catch (error) {
    throw new ShellPrefixError(`${error instanceof Error ? error.message : error}; ${rule}`);
  }
}
