import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { BenchServeOptions } from '../../workloads/bench/options.js';
import type { BenchServeJson } from '../../workloads/bench/result-json.js';
import { pythonFloat } from '../../workloads/python-format.js';
import type { BenchFlags } from './bench-flags.js';

/** Where the result goes, named as `vllm bench serve` 0.32.0 does; null: nowhere. */
export function resultFile(flags: BenchFlags, options: BenchServeOptions, json: BenchServeJson): string | null {
  if (!flags.isOn('save-result') && !flags.isOn('append-result')) return null;
  const { rampUp } = options;
  const load =
    rampUp === undefined
      ? `${pythonFloat(options.requestRate ?? Number.POSITIVE_INFINITY)}qps`
      : `ramp-up-${rampUp.strategy}-${rampUp.startRps}qps-${rampUp.endRps}qps`;
  const concurrency = json.max_concurrency === null ? '' : `-concurrency${json.max_concurrency}`;
  const model = json.model_id.split('/').at(-1);
  const name =
    flags.text('result-filename') ?? `${json.label ?? json.backend}-${load}${concurrency}-${model}-${json.date}.json`;
  return path.join(flags.text('result-dir') ?? '', name);
}

/** So many characters are written with one call. */
const BATCH = 256 * 1024;

/** All of the text or nothing: never half a file. */
export async function writeWhole(file: string, pieces: Iterable<string>): Promise<void> {
  const unfinished = `${file}.${process.pid}.tmp`;
  try {
    await writePieces(unfinished, 'w', pieces);
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Behind what the file holds, on a line of its own. */
export async function appendLine(file: string, pieces: Iterable<string>): Promise<void> {
  await writePieces(file, 'a', pieces, '\n');
}

/** @param separator stands before, where the file holds something already */
async function writePieces(file: string, flags: 'w' | 'a', pieces: Iterable<string>, separator = ''): Promise<void> {
  const handle = await open(file, flags);
  try {
    let batch = (await handle.stat()).size === 0 ? '' : separator;
    for (const piece of pieces) {
      batch += piece;
      if (batch.length >= BATCH) {
        await handle.appendFile(batch);
        batch = '';
      }
    }
    await handle.appendFile(batch);
  } finally {
    await handle.close();
  }
}
