import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { longDocRowSchema } from '../../results-schema/long-doc-qa.js';
import { vllmBenchSchema } from '../../results-schema/vllm-bench.js';

/** The same measurement on both servers, in seconds; empty where there is no file. */
export interface ComparedLatencies {
  readonly title: string;
  /** With its unit. */
  readonly label: string;
  readonly lmcache: readonly number[];
  readonly baseline: readonly number[];
}

/**
 * What the result files of a run tell of single requests.
 * @returns also what cannot be read, with why; a file that is not there is no problem
 */
export async function readLatencies(
  root: string,
): Promise<{ readonly compared: readonly ComparedLatencies[]; readonly problems: readonly string[] }> {
  const problems: string[] = [];
  const both = async (file: (server: string) => string, read: (text: string) => readonly number[]) => ({
    lmcache: await readNumbers(root, file('lmcache'), read, problems),
    baseline: await readNumbers(root, file('baseline'), read, problems),
  });
  const round = (name: string) => both((server) => `long_doc_qa/${server}_${name}_round.csv`, roundTtfts);
  const compared = [
    { title: 'Long document QA, query round: TTFT', label: 'TTFT (s)', ...(await round('query')) },
    { title: 'Long document QA, warm-up round: TTFT', label: 'TTFT (s)', ...(await round('warmup')) },
    {
      title: 'Bench: request latency',
      label: 'time until the last token (s)',
      ...(await both((server) => `vllm_bench/${server}.json`, benchLatencies)),
    },
  ];
  return { compared: compared.filter(({ lmcache, baseline }) => lmcache.length + baseline.length > 0), problems };
}

async function readNumbers(
  root: string,
  file: string,
  read: (text: string) => readonly number[],
  problems: string[],
): Promise<readonly number[]> {
  try {
    return read(await readFile(path.join(root, file), 'utf8'));
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!absent) problems.push(`${file}: ${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}`);
    return [];
  }
}

/** Failed requests have no TTFT to show; the verdicts count them. */
function roundTtfts(text: string): number[] {
  const rows = z.array(longDocRowSchema).parse(parse(text, { columns: true, skip_empty_lines: true }));
  return rows
    .filter(({ successful, ttft }) => successful === 'True' && Number(ttft) >= 0)
    .map(({ ttft }) => Number(ttft));
}

const benchDetailSchema = vllmBenchSchema.extend({ latencies: z.array(z.number().nonnegative()).optional() });

function benchLatencies(text: string): readonly number[] {
  return benchDetailSchema.parse(JSON.parse(text)).latencies ?? [];
}
