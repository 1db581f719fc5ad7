import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * A file system's error in words that name the file: a write to an open file does not say which one, and node says ENOENT
 * of a folder that cannot be made on a read-only file system. Anything else is returned as it is.
 */
export function namingFile(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return error;
  const cause = error.code === 'ENOENT' ? (whyNoFolder(dirname(file)) ?? error) : error;
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return Object.assign(new Error(`"${file}" cannot be written: ${cause.message}`, { cause }), { code, syscall });
}

/** Makes the first folder on the way that is not there, and unmakes it. @returns what is in the way; null: nothing */
function whyNoFolder(directory: string): Error | null {
  let first = directory;
  if (existsSync(first)) return null;
  while (!existsSync(dirname(first))) first = dirname(first);
  try {
    mkdirSync(first);
    rmdirSync(first);
    return null;
  } catch (error) {
    return error instanceof Error ? error : null;
  }
}
