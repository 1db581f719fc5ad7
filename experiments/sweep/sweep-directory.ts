import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { makeFolder } from '../../results-schema/make-folder.js';
import { type SweepSummary, sweepSummarySchema } from '../../results-schema/sweep-summary.js';
import type { PlannedExperiment, Shard } from './grid.js';
import type { SweepDefinition } from './load-sweep.js';

/** A directory of results that cannot be used as it was asked for. */
export class SweepDirectoryError extends Error {
  override readonly name = 'SweepDirectoryError';
}

/** `{tag}_{YYYY-MM-DD}`, of a shard `{tag}_{YYYY-MM-DD}_1-of-4`; local time. */
export function directoryName(tag: string, shard: Shard | null, at: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${tag}_${day}${shardSuffix(shard)}`;
}

/** Makes `{log_base_dir}/{tag}_{YYYY-MM-DD}`, or with `_2`, `_3`, ... where it exists. @returns its absolute path */
export function createSweepDirectory(logBaseDir: string, tag: string, shard: Shard | null, at: Date): string {
  const base = path.resolve(logBaseDir);
  try {
    makeFolder(base);
    for (let number = 1; ; number += 1) {
      const directory = path.join(base, `${directoryName(tag, shard, at)}${number === 1 ? '' : `_${number}`}`);
      try {
        mkdirSync(directory, { mode: 0o755 });
        return directory;
      } catch (error) {
        if (!isCode(error, 'EEXIST')) throw error;
      }
    }
  } catch (error) {
    throw new SweepDirectoryError(
      `The directory of results cannot be made in "${base}": ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** An earlier run of the same sweep. */
export interface EarlierSweep {
  readonly directory: string;
  readonly summary: SweepSummary;
}

/**
 * The newest directory that holds this sweep, whatever its day: the same tag, document and shard.
 * @returns null when there is none
 * @throws SweepDirectoryError when it was another grid: the file was changed since.
 */
export function findEarlierSweep(
  definition: SweepDefinition,
  grid: readonly PlannedExperiment[],
  shard: Shard | null,
): EarlierSweep | null {
  const base = path.resolve(definition.logBaseDir);
  const pattern = new RegExp(
    `^${escaped(definition.tag)}_\\d{4}-\\d{2}-\\d{2}${escaped(shardSuffix(shard))}(?:_(\\d+))?$`,
  );
  const found = listDirectories(base)
    .filter((name) => pattern.test(name))
    .map((name) => readSweep(path.join(base, name)))
    .filter((earlier) => earlier !== null && earlier.summary.definition.document === definition.document)
    .filter((earlier) => earlier !== null)
    .sort((a, b) => b.summary.createdAt.localeCompare(a.summary.createdAt));
  const newest = found[0];
  if (newest === undefined) return null;
  checkSameGrid(newest, grid);
  return newest;
}

/** @returns null where there is no summary; @throws SweepDirectoryError for one that cannot be read. */
export function readSweep(directory: string): EarlierSweep | null {
  const file = path.join(directory, 'summary.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return null;
    throw new SweepDirectoryError(`"${file}" cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  try {
    return { directory, summary: sweepSummarySchema.parse(JSON.parse(text)) };
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new SweepDirectoryError(`"${file}" is no summary of a sweep: ${why}`);
  }
}

function checkSameGrid({ directory, summary }: EarlierSweep, grid: readonly PlannedExperiment[]): void {
  const earlier = new Map(summary.experiments.map((experiment) => [experiment.name, experiment.configuration]));
  const changed = grid.filter(({ name, configuration }) => !isDeepStrictEqual(earlier.get(name), configuration));
  const wanted = new Set(grid.map(({ name }) => name));
  const gone = [...earlier.keys()].filter((name) => !wanted.has(name));
  const different = [...changed.map(({ name }) => name), ...gone];
  if (different.length === 0) return;
  throw new SweepDirectoryError(
    `"${directory}" holds another grid: the sweep's file has changed since (${different.slice(0, 3).join(', ')}` +
      `${different.length > 3 ? `, ${different.length - 3} more` : ''}). Start anew without --resume.`,
  );
}

function listDirectories(base: string): readonly string[] {
  try {
    return readdirSync(base, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw new SweepDirectoryError(`"${base}" cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function shardSuffix(shard: Shard | null): string {
  return shard === null ? '' : `_${shard.index}-of-${shard.of}`;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
