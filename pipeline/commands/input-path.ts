import { closeSync, fstatSync, openSync } from 'node:fs';
import { UsageError } from '../usage-error.js';
import { isFileError } from './file-error.js';

/**
 * Looks whether a file can be read at all, before anybody is asked for anything.
 * @param name as the person gave it: `--dataset-path`
 * @throws UsageError
 */
export function checkInputFile(name: string, file: string): void {
  try {
    const opened = openSync(file, 'r');
    const isFolder = fstatSync(opened).isDirectory();
    closeSync(opened);
    if (isFolder) throw new UsageError(`${name} "${file}" is a directory: name a file.`);
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new UsageError(`${name} "${file}" cannot be read: ${error.message}`);
  }
}
