import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const prefix = 'lmcache-ci-';

/**
 * Makes a directory (mode 0700) below TMPDIR.
 * @param purpose a part of its name, e.g. `lm-eval`
 * @param register is told its path before it is there: nobody is killed in between
 */
export async function makeTemporaryDirectory(
  purpose: string,
  register: (directory: string) => Promise<void>,
): Promise<string> {
  const directory = path.join(tmpdir(), `${prefix}${purpose}-${randomBytes(6).toString('hex')}`);
  await register(directory);
  await mkdir(directory, { mode: 0o700 });
  return directory;
}

/** One that was made here and is there: whatever a record says, nothing else is ever removed as one. */
export function isTemporaryDirectory(directory: string): boolean {
  const isOurs = path.isAbsolute(directory) && path.basename(directory).startsWith(prefix);
  return isOurs && lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
}
