import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { MergeError, mergeSweeps as merge } from '../../experiments/sweep/merge-summaries.js';
import { readSweep, SweepDirectoryError } from '../../experiments/sweep/sweep-directory.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { openResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { UsageError } from '../usage-error.js';
import { exitCodeOf, report, summaryLines } from './sweep-end.js';

/** `lmcache-ci sweep merge`: one directory of results out of those of the shards. @returns the exit code. */
export async function mergeSweeps(directories: readonly string[], out: string | null): Promise<number> {
  if (directories.length === 0) throw new UsageError('sweep merge: name the directories of the shards.');
  if (out === null) throw new UsageError('sweep merge: --out is missing; name the directory to make.');
  const { summary, sources, missing } = readParts(directories);
  const target = path.resolve(out);
  await makeNew(target);
  const results = await openResultsDirectory(target);
  for (const { name, serverLog, clientLog } of summary.experiments) {
    for (const log of [serverLog, clientLog]) {
      // One that has not run has no logs.
      await copyFile(path.join(sources.get(name) ?? '', log), results.path(log)).catch(() => undefined);
    }
  }
  await results.writeJson('summary.json', summary);
  const lines = {
    line: (text: string) => void process.stdout.write(`${text}\n`),
    warned: (text: string) => void process.stderr.write(`warning: ${text}\n`),
  };
  await report(target, lines);
  for (const line of summaryLines(summary, target)) lines.line(line);
  if (missing.length === 0) return exitCodeOf(summary.experiments);
  lines.warned(
    `${missing.length} of ${summary.gridSize} experiments are in none of these directories (places ${missing.slice(0, 10).join(', ')}${missing.length > 10 ? ', ...' : ''} of the grid): is a shard missing?`,
  );
  return 3;
}

function readParts(directories: readonly string[]) {
  try {
    const parts = directories.map((directory) => {
      const part = readSweep(path.resolve(directory));
      if (part === null) throw new MergeError(`"${directory}" holds no summary.json`);
      return part;
    });
    return merge(parts);
  } catch (error) {
    if (error instanceof MergeError || error instanceof SweepDirectoryError) {
      throw new UsageError(`sweep merge: ${error.message}. Nothing was written.`);
    }
    throw error;
  }
}

async function makeNew(directory: string): Promise<void> {
  try {
    makeFolder(path.dirname(directory));
    await mkdir(directory);
  } catch (error) {
    const why = error instanceof Error && 'code' in error && error.code === 'EEXIST' ? 'it exists' : String(error);
    throw new UsageError(`sweep merge: --out "${directory}" cannot be made: ${why}. Nothing was written.`);
  }
}
