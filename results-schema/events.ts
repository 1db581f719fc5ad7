import { z } from 'zod';
import { runVerdictSchema } from './run-verdict.js';
import { stepResultSchema } from './step-result.js';

const engineRole = z.union([
  z.enum(['lmcache', 'vllm', 'baseline']),
  z.templateLiteral(['server-', z.string().min(1)]),
]);
const engineExit = z.object({
  code: z.int().nullable(),
  signal: z.string().nullable(),
  outOfMemory: z.boolean(),
  at: z.string(),
});

/** What every line of events.jsonl carries. */
const base = {
  /** Seconds since this process opened the log, from a monotonic clock. */
  t: z.number().nonnegative(),
  at: z.iso.datetime(),
  /** Several processes may write to one run's log (single steps): `t` only compares within one of them. */
  pid: z.int().positive(),
};

function event<Type extends string, Shape extends z.ZodRawShape>(type: Type, shape: Shape) {
  return z.object({ type: z.literal(type), ...base, ...shape });
}

/**
 * Work that is not the orchestrator's own stands between a start and its end: build-started ..
 * build-finished, engine-starting .. engine-ready | engine-exited, workload-* and child-* by `id`,
 * engine-stopping .. engine-exited. own-time.ts reads exactly these.
 */
export const runEventSchema = z.discriminatedUnion('type', [
  event('run-started', {
    buildId: z.string(),
    command: z.array(z.string()),
    engine: z.enum(['vllm', 'sim']),
    runtime: z.enum(['docker', 'process', 'external']),
    /** Names of the steps that this process means to run, in their order. */
    steps: z.array(z.string()).optional(),
  }),
  event('step-started', { step: z.string(), title: z.string() }),
  event('step-finished', { step: z.string(), durationSeconds: z.number().nonnegative(), result: stepResultSchema }),
  event('build-started', { image: z.string() }),
  event('build-finished', { image: z.string(), ok: z.boolean() }),
  /** The request to start has gone out to the runtime. */
  event('engine-starting', { role: engineRole, name: z.string() }),
  /** The container or process exists. */
  event('engine-started', { role: engineRole, name: z.string() }),
  event('engine-ready', { role: engineRole, name: z.string(), readyAfterSeconds: z.number().nonnegative() }),
  event('engine-stopping', { role: engineRole, name: z.string() }),
  /** `expected`: we stopped it. `exit` is null where the runtime could not tell. */
  event('engine-exited', { role: engineRole, name: z.string(), expected: z.boolean(), exit: engineExit.nullable() }),
  event('child-started', { id: z.string(), command: z.array(z.string()), childPid: z.int().positive().nullable() }),
  /** It has become ready and waits for work: what it is given from now on are workloads. */
  event('child-idle', { id: z.string() }),
  event('child-finished', { id: z.string(), exitCode: z.int().nullable(), signal: z.string().nullable() }),
  event('workload-started', { id: z.string(), workload: z.string(), target: z.string() }),
  event('workload-finished', { id: z.string(), ok: z.boolean() }),
  event('log', { step: z.string().nullable(), message: z.string() }),
  event('warning', { step: z.string().nullable(), message: z.string() }),
  /** A variable that is nearly one of ours: `suggestion` is the name that was probably meant. */
  event('setting-warning', { setting: z.string(), suggestion: z.string().nullable(), message: z.string() }),
  event('cleanup', {
    removed: z.array(z.string()),
    forced: z.array(z.string()),
    problems: z.array(z.string()),
  }),
  event('run-finished', { verdict: runVerdictSchema }),
]);
export type RunEvent = z.infer<typeof runEventSchema>;

type WithoutStamp<Event> = Event extends RunEvent ? Omit<Event, 't' | 'at' | 'pid'> : never;
/** An event as its author gives it; the log adds `t`, `at` and `pid`. */
export type RunEventInput = WithoutStamp<RunEvent>;
