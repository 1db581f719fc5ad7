import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
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

/** All of the text or nothing: never half a file. */
export async function writeWhole(file: string, text: string): Promise<void> {
  const unfinished = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(unfinished, text);
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
