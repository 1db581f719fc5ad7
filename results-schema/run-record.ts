import { z } from 'zod';
import { runVerdictSchema } from './run-verdict.js';
import { stepResultSchema } from './step-result.js';

/** Raised when a reader of older files would misread newer ones. */
export const runRecordSchemaVersion = 1;

const isoTime = z.iso.datetime();
const seconds = z.number().nonnegative();

/** Who gave a setting its value. `ci`: taken from the CI's own variables, named in `source`; `joined run`: the live run a single step joined. */
export const settingOriginSchema = z.enum(['flag', 'environment', '.env', 'joined run', 'ci', 'default']);

export const settingRecordSchema = z.object({
  name: z.string(),
  /** null: unset. */
  value: z.union([z.string(), z.number(), z.boolean(), z.null()]),
  origin: settingOriginSchema,
  /** Where exactly: `--vllm-port`, `BUILDKITE_BUILD_ID`, `CPU_BUFFER_SIZE`, a .env file's path; null for a default. */
  source: z.string().nullable(),
  /** What was asked for where the run chose the value itself, e.g. `auto` for a port; else null. */
  requested: z.string().nullable(),
});

/** The simulator's mark: its timing profile, and how many times faster than that hardware it ran. */
export const simulatedSchema = z.object({ profile: z.string(), speed: z.number().positive() });
export type Simulated = z.infer<typeof simulatedSchema>;

export const versionsSchema = z.object({
  lmcacheCi: z.string(),
  node: z.string(),
  /** null: not used, or it did not say. */
  docker: z.string().nullable(),
  vllm: z.string().nullable(),
  lmcache: z.string().nullable(),
});

export const hostSchema = z.object({
  hostname: z.string(),
  platform: z.string(),
  kernel: z.string(),
  cpuModel: z.string(),
  cpuCount: z.int().positive(),
  memoryBytes: z.int().positive(),
});

/** What a GPU was used for at one moment, by anybody. */
export const gpuUseSchema = z.object({
  usedMiB: z.number().nonnegative(),
  /** Compute processes, as far as the driver shows them. */
  processes: z.array(z.object({ pid: z.int().positive(), name: z.string(), usedMiB: z.number().nullable() })),
});
export type GpuUse = z.infer<typeof gpuUseSchema>;

/** A GPU that the run reserved. */
export const gpuRecordSchema = z.object({
  index: z.int().nonnegative(),
  uuid: z.string(),
  name: z.string(),
  memoryTotalMiB: z.number().nonnegative(),
  memoryFreeMiB: z.number().nonnegative(),
  /** Engines that ran on it. */
  roles: z.array(z.enum(['lmcache', 'vllm', 'baseline'])),
  /** When it was chosen, before any engine ran on it. */
  before: gpuUseSchema.optional(),
  /** After the cleanup, when its memory was given back or the wait for that was over; null: not known. */
  after: gpuUseSchema.nullable().optional(),
});

export const stepRecordSchema = z.object({
  name: z.string(),
  title: z.string(),
  kind: z.enum(['setup', 'test', 'cleanup']),
  startedAt: isoTime,
  durationSeconds: seconds,
  result: stepResultSchema,
  /** Earlier tries that failed by infrastructure (RETRY_INFRASTRUCTURE), oldest first. */
  tries: z
    .array(
      z.object({
        startedAt: isoTime,
        durationSeconds: seconds,
        result: stepResultSchema,
        /** Folder of what this try wrote, relative to the results directory; null: nothing. */
        keptIn: z.string().nullable().optional(),
      }),
    )
    .optional(),
});
export type StepRecord = z.infer<typeof stepRecordSchema>;

/**
 * Where the time went, in wall seconds, from events.jsonl by the formula in own-time.ts. The parts
 * may overlap (a virtual environment is made while engines start), so they need not add up.
 */
export const timingsSchema = z.object({
  wallSeconds: seconds,
  /** Wall less the union of all the parts below: what the orchestrator itself cost. */
  ownSeconds: seconds,
  buildSeconds: seconds,
  engineStartSeconds: seconds,
  workloadSeconds: seconds,
  childSeconds: seconds,
  stopGraceSeconds: seconds,
});
export type Timings = z.infer<typeof timingsSchema>;

export const fileRecordSchema = z.object({
  /** Relative to the results directory, with forward slashes. */
  path: z.string(),
  bytes: z.int().nonnegative(),
});
export type FileRecord = z.infer<typeof fileRecordSchema>;

/** `run.json`: everything a reader needs to know about one run, without any other file. */
export const runRecordSchema = z.object({
  schemaVersion: z.literal(runRecordSchemaVersion),
  buildId: z.string(),
  /** How it was called, e.g. `["mp-test", "--only", "long-doc-qa"]`. */
  command: z.array(z.string()),
  engine: z.enum(['vllm', 'sim']),
  /** null on real hardware; never null when `engine` is `sim`. */
  simulated: simulatedSchema.nullable(),
  runtime: z.enum(['docker', 'process', 'external']),
  model: z.string(),
  /** The engines' image; null without containers. */
  image: z.object({ name: z.string(), id: z.string().nullable() }).nullable(),
  settings: z.array(settingRecordSchema),
  versions: versionsSchema,
  host: hostSchema,
  gpus: z.array(gpuRecordSchema),
  startedAt: isoTime,
  /** null while it runs; so are `verdict` and `timings`. */
  endedAt: isoTime.nullable(),
  steps: z.array(stepRecordSchema),
  verdict: runVerdictSchema.nullable(),
  timings: timingsSchema.nullable(),
  files: z.array(fileRecordSchema),
});
export type RunRecord = z.infer<typeof runRecordSchema>;
