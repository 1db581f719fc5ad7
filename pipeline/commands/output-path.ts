import { mkdtempSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { isDiskFull } from '../../results-schema/disk-full.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { NoVerdictError, UsageError } from '../usage-error.js';
import { isFileError } from './file-error.js';

/**
 * Makes the folder of what is to be written, and tries it: what could not be kept is not worth measuring.
 * @param name as the person gave it: `-o`, `ENGINE_LOG_DIR`
 * @throws UsageError, NoVerdictError for a disk that is full
 */
export function checkOutputFolder(name: string, folder: string): void {
  check(name, folder, () => tryFolder(folder));
}

/** The same for a file, which may be there already and is then replaced or added to. */
export function checkOutputFile(name: string, file: string): void {
  check(name, file, () => {
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
      throw new UsageError(`${name} "${file}" is a directory: name a file. Nothing was started.`);
    }
    tryFolder(path.dirname(file));
  });
}

function check(name: string, given: string, tryIt: () => void): void {
  try {
    tryIt();
  } catch (error) {
    if (!isFileError(error)) throw error;
    const message = `${name} "${given}" cannot be written to: ${error.message}. Nothing was started.`;
    throw isDiskFull(error) ? new NoVerdictError(message) : new UsageError(message);
  }
}

/** A real entry tells the truth of permissions, read-only mounts and full disks; access(2) only of the first. */
function tryFolder(folder: string): void {
  makeFolder(folder);
  rmdirSync(mkdtempSync(path.join(folder, '.writable-')));
}
