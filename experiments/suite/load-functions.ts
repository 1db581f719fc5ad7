import { statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { TestFunction } from './terms.js';

export interface NamedFunction {
  readonly name: string;
  readonly run: TestFunction;
}

/** A file of test functions that cannot be used; the message says why, with the place where it threw. */
export class TestFileError extends Error {
  override readonly name = 'TestFileError';
}

const publicModule = fileURLToPath(new URL(`./public${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url));

/**
 * The functions a TypeScript or JavaScript module exports, in the order of their names. The file may lie anywhere: it
 * needs no build step, and "lmcache-ci/experiments" is this package wherever the file is.
 * @throws TestFileError
 */
export async function loadFunctions(file: string): Promise<readonly NamedFunction[]> {
  if (file.endsWith('.py')) {
    throw new TestFileError(
      `The test file "${file}" is Python; test functions are TypeScript here, lmcache-tests' own in tests/tests.ts (docs/migration.md).`,
    );
  }
  const absolute = path.resolve(file);
  const stats = statSync(absolute, { throwIfNoEntry: false });
  if (stats === undefined) throw new TestFileError(`The test file "${file}" does not exist.`);
  if (!stats.isFile()) throw new TestFileError(`The test file "${file}" is no file: name one in it.`);
  // A dozen milliseconds that no other command needs.
  const { createJiti } = await import('jiti');
  const jiti = createJiti(pathToFileURL(absolute).href, {
    fsCache: false,
    moduleCache: false,
    alias: { 'lmcache-ci/experiments': publicModule },
  });
  let module: unknown;
  try {
    module = await jiti.import(absolute);
  } catch (error) {
    throw new TestFileError(`The test file "${file}" cannot be loaded: ${whereItThrew(error, absolute)}`, {
      cause: error,
    });
  }
  if (typeof module !== 'object' || module === null) {
    throw new TestFileError(`The test file "${file}" exports nothing.`);
  }
  const functions = Object.entries(module).flatMap(([name, value]): NamedFunction[] =>
    typeof value === 'function' && name !== 'default' && !isClass(value) ? [{ name, run: value as TestFunction }] : [],
  );
  return functions.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function isClass(value: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value));
}

/** The message, and the first line of the stack that lies in the user's own file. */
export function whereItThrew(error: unknown, file: string): string {
  if (!(error instanceof Error)) return String(error);
  const place = (error.stack ?? '').split('\n').find((line) => line.includes(file));
  const position = place === undefined ? null : /(\d+):\d+\)?$/.exec(place.trim())?.[1];
  return position ? `${error.message} (${path.basename(file)}:${position})` : error.message;
}
