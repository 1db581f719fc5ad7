import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type SweepSummary, sweepSummarySchema } from '../../results-schema/sweep-summary.js';
import { defaultShape, generateConversations } from '../../workloads/traces/generate-conversations.js';
import { writeConversationCsv } from '../../workloads/traces/write-csv.js';
import type { Bench } from './bench.js';

/** Short conversations, and a sweep over them. */
export async function prepare(bench: Bench, yaml: string, requests = 24): Promise<string> {
  const directory = path.join(bench.directory, 'sweep');
  mkdirSync(path.join(directory, 'data'), { recursive: true });
  const shape = {
    ...defaultShape,
    questionTokens: { median: 40, sigma: 0.3 },
    answerTokens: { median: 12, sigma: 0.3 },
  };
  const conversations = generateConversations({ ...shape, seed: 4, maxRequests: requests });
  await writeConversationCsv(path.join(directory, 'data', 'talk.csv'), conversations, 0);
  const file = path.join(directory, 'sweep.yaml');
  writeFileSync(file, yaml.replaceAll('OUT', path.join(directory, 'out')));
  return file;
}

/** Where the sweep's results are. */
export function directories(file: string): string[] {
  const out = path.join(path.dirname(file), 'out');
  return readdirSync(out).map((name) => path.join(out, name));
}

export function summaryOf(directory: string): SweepSummary {
  return sweepSummarySchema.parse(JSON.parse(readFileSync(path.join(directory, 'summary.json'), 'utf8')));
}
