import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { cacheSimulationSchema } from './cache-simulation.js';
import { runEventSchema } from './events.js';
import { lmEvalResultsSchema, lmEvalSampleSchema } from './lm-eval-output.js';
import { longDocResultSchema, longDocRowSchema } from './long-doc-qa.js';
import { orchestratorLostSchema } from './orchestrator-lost.js';
import { runRecordSchema } from './run-record.js';
import { sweepSummarySchema } from './sweep-summary.js';
import { vllmBenchSchema } from './vllm-bench.js';

/** How the schema applies: to the whole file, or to each of its lines or rows. */
export type FileFormat = 'json' | 'json-lines' | 'csv';

export interface FileSchema {
  /** Stem of the published JSON Schema: `<name>.schema.json`. */
  readonly name: string;
  readonly title: string;
  /** Matches paths relative to the results directory, with forward slashes. */
  readonly path: RegExp;
  readonly format: FileFormat;
  readonly schema: z.ZodType;
}

/** Every file of the results tree that has a fixed shape. Other paths (logs, a test step of your own) need none. */
export const fileSchemas: readonly FileSchema[] = [
  {
    name: 'run',
    title: 'run.json: one run of lmcache-ci',
    path: /^run\.json$/,
    format: 'json',
    schema: runRecordSchema,
  },
  {
    name: 'event',
    title: 'events.jsonl: one event of a run',
    path: /^events\.jsonl$/,
    format: 'json-lines',
    schema: runEventSchema,
  },
  {
    name: 'orchestrator-lost',
    title: 'orchestrator-lost.json: a run whose orchestrator vanished',
    path: /^orchestrator-lost\.json$/,
    format: 'json',
    schema: orchestratorLostSchema,
  },
  {
    name: 'vllm-bench',
    title: 'vllm_bench/**/*.json: a result of vllm bench serve',
    path: /^vllm_bench\/(again\/)?(baseline|lmcache)\.json$/,
    format: 'json',
    schema: vllmBenchSchema,
  },
  {
    name: 'long-doc-result',
    title: 'long_doc_qa/*_result.json: the summary of a long document QA run',
    path: /^long_doc_qa\/(baseline|lmcache)_result\.json$/,
    format: 'json',
    schema: longDocResultSchema,
  },
  {
    name: 'long-doc-row',
    title: 'long_doc_qa/**/*_round.csv: one request of a long document QA round',
    path: /^long_doc_qa\/(.+[/_])?(warmup|query)_round\.csv$/,
    format: 'csv',
    schema: longDocRowSchema,
  },
  {
    name: 'lm-eval-sample',
    title: 'lm_eval/**/samples_*.jsonl: one sample of lm_eval',
    path: /^lm_eval\/.+\/samples_[^/]+\.jsonl$/,
    format: 'json-lines',
    schema: lmEvalSampleSchema,
  },
  {
    name: 'lm-eval-results',
    title: 'lm_eval/**/results_*.json: the scores of an lm_eval run',
    path: /^lm_eval\/.+\/results_[^/]+\.json$/,
    format: 'json',
    schema: lmEvalResultsSchema,
  },
  {
    name: 'sweep-summary',
    title: 'summary.json: the experiments of a sweep',
    path: /^summary\.json$/,
    format: 'json',
    schema: sweepSummarySchema,
  },
  {
    name: 'cache-simulation',
    title: '*.cache-simulation.json: hit rates over cache size, simulated offline',
    path: /^(.+\.)?cache-simulation\.json$/,
    format: 'json',
    schema: cacheSimulationSchema,
  },
];

/** Top-level names of the results tree. */
export const resultNames: readonly string[] = [
  'run.json',
  'events.jsonl',
  'orchestrator-lost.json',
  'lm_eval',
  'long_doc_qa',
  'vllm_bench',
  'logs',
];

/** Raised for a value that does not fit its file's schema: nothing has been written then. */
export class InvalidFileError extends Error {
  override readonly name = 'InvalidFileError';
  readonly path: string;

  constructor(path: string, why: string, options?: ErrorOptions) {
    super(`"${path}" would not be valid: ${why}`, options);
    this.path = path;
  }
}

/**
 * @param path relative to the results directory, with forward slashes
 * @returns the value as its schema reads it; unchanged where the path has no schema
 * @throws InvalidFileError
 */
export function validateJson(path: string, value: unknown): unknown {
  const found = schemaOf(path, 'json');
  return found === undefined ? finite(path, value) : check(path, '', found.schema, value);
}

/**
 * Checks JSON lines and CSV rows; text of any other path passes.
 * @throws InvalidFileError naming the first wrong line (1 is the first line of the file)
 */
export function validateText(path: string, text: string): void {
  const json = schemaOf(path, 'json');
  if (json !== undefined) check(path, '', json.schema, parseJson(path, '', text));
  const lines = schemaOf(path, 'json-lines');
  if (lines !== undefined) {
    for (const [index, line] of text.split('\n').entries()) {
      const where = `line ${index + 1}: `;
      if (line !== '') check(path, where, lines.schema, parseJson(path, where, line));
    }
  }
  const table = schemaOf(path, 'csv');
  if (table !== undefined) {
    for (const [index, row] of parseCsv(path, text).entries()) check(path, `row ${index + 1}: `, table.schema, row);
  }
}

function schemaOf(path: string, format: FileFormat): FileSchema | undefined {
  return fileSchemas.find((candidate) => candidate.format === format && candidate.path.test(path));
}

function check(path: string, where: string, schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InvalidFileError(path, where + z.prettifyError(parsed.error), { cause: parsed.error });
}

function parseJson(path: string, where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidFileError(path, `${where}not JSON`, { cause });
  }
}

function parseCsv(path: string, text: string): readonly unknown[] {
  try {
    return parse(text, { columns: true });
  } catch (cause) {
    throw new InvalidFileError(path, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** JSON has no NaN: JSON.stringify would write null in its place and nobody would notice. */
function finite(path: string, value: unknown): unknown {
  JSON.stringify(value, (key, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) throw new InvalidFileError(path, `"${key}" is ${inner}`);
    return inner;
  });
  return value;
}
