import { lstat, rename } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { validateJson, validateText } from './file-schemas.js';
import type { ResultsDirectory } from './results-directory.js';
import { checkUsable, makeDirectory, ResultsDirectoryError } from './results-directory-checks.js';
import { findOwner } from './results-directory-owner.js';
import { secrets } from './secrets.js';
import { writeWhole } from './whole-file.js';

export interface CreateOptions {
  readonly buildId: string;
  /** Whether a run of this id is alive on this machine; the registry knows. */
  isLive(buildId: string): Promise<boolean>;
}

export interface CreatedResultsDirectory extends ResultsDirectory {
  /** Where the finished run that was there was moved to; null when there was none. */
  readonly archivedTo: string | null;
}

/**
 * Makes the results directory of a new run, mode 0755, parents included. An empty directory of our own is
 * taken as it is; a finished run is renamed to `<root>.1`, `<root>.2`, ...
 * @throws ResultsDirectoryError for a symbolic link, a file, another user's or a world-writable directory,
 *   one that cannot be written, a live run, or files that belong to no run.
 */
export async function createResultsDirectory(root: string, options: CreateOptions): Promise<CreatedResultsDirectory> {
  const absolute = resolve(root);
  const archivedTo = (await makeDirectory(absolute)) ? null : await makeRoom(absolute, options);
  return { ...directoryAt(absolute), archivedTo };
}

/**
 * The existing results directory of a run that a single step joins.
 * @throws ResultsDirectoryError as above, also when it does not exist.
 */
export async function openResultsDirectory(root: string): Promise<ResultsDirectory> {
  const absolute = resolve(root);
  await checkUsable(absolute);
  return directoryAt(absolute);
}

async function makeRoom(root: string, options: CreateOptions): Promise<string | null> {
  await checkUsable(root);
  const owner = await findOwner(root);
  if (owner.kind === 'nobody') return null;
  if (owner.kind === 'unknown') {
    throw new ResultsDirectoryError(
      'foreign-files',
      root,
      `results directory "${root}" holds "${owner.file}", which belongs to no run that can be told: empty it, or choose another RESULTS_DIR`,
    );
  }
  if (await options.isLive(owner.buildId)) {
    const isOther = owner.buildId !== options.buildId;
    throw new ResultsDirectoryError(
      isOther ? 'other-run' : 'live-run',
      root,
      `run "${owner.buildId}" is still alive and writes to "${root}": choose another ${isOther ? 'RESULTS_DIR' : 'BUILD_ID'}, or end that run first`,
    );
  }
  return archive(root);
}

async function archive(root: string): Promise<string> {
  for (let number = 1; ; number++) {
    const target = `${root}.${number}`;
    if (await exists(target)) continue;
    try {
      await rename(root, target);
    } catch (cause) {
      throw new ResultsDirectoryError(
        'not-writable',
        root,
        `the finished run in "${root}" cannot be moved to "${target}" (${describe(cause)}): move it yourself, or choose another RESULTS_DIR`,
        { cause },
      );
    }
    if (await makeDirectory(root)) return target;
    throw new ResultsDirectoryError(
      'live-run',
      root,
      `another run took "${root}" just now: choose another BUILD_ID or RESULTS_DIR`,
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function directoryAt(root: string): ResultsDirectory {
  const path = (...parts: readonly string[]): string => {
    const full = join(root, ...parts);
    if (full !== root && !full.startsWith(root + sep)) {
      throw new Error(`"${parts.join('/')}" leads out of the results directory "${root}"`);
    }
    return full;
  };
  const keyOf = (full: string): string => relative(root, full).split(sep).join('/');
  return {
    root,
    path,
    async writeJson(relativePath, value, options) {
      const full = path(relativePath);
      const valid = validateJson(keyOf(full), secrets.hideIn(value));
      await writeWhole(full, `${JSON.stringify(valid, null, options?.singleLine === true ? undefined : 2)}\n`);
    },
    async writeText(relativePath, text) {
      const full = path(relativePath);
      const shown = secrets.hide(text);
      validateText(keyOf(full), shown);
      await writeWhole(full, shown);
    },
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
