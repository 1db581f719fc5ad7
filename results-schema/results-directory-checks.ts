import { lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from './make-folder.js';

export type ResultsDirectoryProblem =
  | 'symbolic-link'
  | 'not-a-directory'
  | 'other-owner'
  | 'world-writable'
  | 'not-writable'
  | 'live-run'
  | 'other-run'
  | 'foreign-files';

/** Why a directory cannot hold a run's results; the message names the path and what to do. */
export class ResultsDirectoryError extends Error {
  override readonly name = 'ResultsDirectoryError';
  readonly problem: ResultsDirectoryProblem;
  readonly path: string;

  constructor(problem: ResultsDirectoryProblem, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
    this.path = path;
  }
}

/**
 * Makes the directory (mode 0755) and its parents.
 * @returns false when the name is already taken, by whatever
 * @throws ResultsDirectoryError `not-writable`
 */
export async function makeDirectory(path: string): Promise<boolean> {
  try {
    makeFolder(dirname(path), 0o755);
    // Not recursive: made by us and by nobody else, or EEXIST.
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (cause) {
    if (errorCode(cause) === 'EEXIST') return false;
    throw notWritable(path, cause);
  }
}

/**
 * An existing directory must be a real one, ours, closed to the world's writing, and writable.
 * In /tmp anybody could have put a link or a directory of theirs under a name that is easy to guess.
 * @throws ResultsDirectoryError
 */
export async function checkUsable(path: string): Promise<void> {
  const stats = await lstat(path).catch((cause: unknown) => {
    throw notWritable(path, cause);
  });
  if (stats.isSymbolicLink()) {
    throw new ResultsDirectoryError(
      'symbolic-link',
      path,
      `results directory "${path}" is a symbolic link: name the real directory as RESULTS_DIR`,
    );
  }
  if (!stats.isDirectory()) {
    throw new ResultsDirectoryError(
      'not-a-directory',
      path,
      `results directory "${path}" is a file: choose another RESULTS_DIR`,
    );
  }
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user) {
    throw new ResultsDirectoryError(
      'other-owner',
      path,
      `results directory "${path}" belongs to user ${stats.uid}, not to us (${user}): choose another RESULTS_DIR`,
    );
  }
  if ((stats.mode & 0o002) !== 0) {
    throw new ResultsDirectoryError(
      'world-writable',
      path,
      `results directory "${path}" can be written by everybody: "chmod o-w ${path}", or choose another RESULTS_DIR`,
    );
  }
  await tryWriting(path);
}

/** A real file tells the truth about permissions, read-only mounts and full disks; access(2) only about the first. */
async function tryWriting(directory: string): Promise<void> {
  const probe = join(directory, `.writable-${process.pid}`);
  try {
    await writeFile(probe, 'probe', { flag: 'w', mode: 0o600 });
  } catch (cause) {
    throw notWritable(directory, cause);
  } finally {
    await rm(probe, { force: true }).catch(() => undefined);
  }
}

function notWritable(path: string, cause: unknown): ResultsDirectoryError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ResultsDirectoryError(
    'not-writable',
    path,
    `results directory "${path}" cannot be written (${why}): choose another RESULTS_DIR`,
    { cause },
  );
}

function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
