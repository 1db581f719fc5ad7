import { z } from 'zod';
import { gpuUseSchema } from '../results-schema/run-record.js';

/** A process that is never mistaken for a later one with the same pid. */
export const processIdentitySchema = z.object({
  pid: z.int().positive(),
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  startTime: z.int().nonnegative(),
});
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** A process group by its leader; `startTime` is the leader's. */
export const processGroupSchema = z.object({
  pgid: z.int().positive(),
  startTime: z.int().nonnegative(),
});
export type ProcessGroup = z.infer<typeof processGroupSchema>;

export const engineRoleSchema = z.union([
  z.enum(['lmcache', 'vllm', 'baseline']),
  z.templateLiteral(['server-', z.string().min(1)]),
]);

export const engineHandleSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('container'), id: z.string(), name: z.string() }),
  z.object({ kind: z.literal('process'), pid: z.int().positive(), startTime: z.int().nonnegative() }),
]);

export const engineExitSchema = z.object({
  code: z.int().nullable(),
  signal: z.string().nullable(),
  outOfMemory: z.boolean(),
  daemonLost: z.boolean().optional(),
  at: z.string(),
});

export const engineStateSchema = z.discriminatedUnion('status', [
  z.object({ status: z.literal('unstarted') }),
  z.object({ status: z.literal('starting'), handle: engineHandleSchema, since: z.string() }),
  z.object({ status: z.literal('ready'), handle: engineHandleSchema, since: z.string() }),
  z.object({ status: z.literal('stopped'), exit: engineExitSchema, forced: z.boolean() }),
  z.object({ status: z.literal('failed'), exit: engineExitSchema.nullable(), message: z.string() }),
]);

/** What `LaunchSpec` says (engines/launch-spec.ts), as it stands in files and in the keeper's messages. */
export const launchSpecSchema = z.object({
  role: engineRoleSchema,
  name: z.string().min(1),
  program: z.enum(['vllm-serve', 'lmcache-server', 'lmcache-module', 'other']),
  args: z.array(z.string()).readonly(),
  environment: z.record(z.string(), z.string()).readonly(),
  container: z.object({
    image: z.string(),
    entrypoint: z.array(z.string()).readonly().nullable(),
    mounts: z.array(z.object({ source: z.string(), target: z.string(), readOnly: z.boolean() })).readonly(),
    gpu: z.object({ runtime: z.literal('nvidia'), uuids: z.array(z.string()).readonly() }).nullable(),
  }),
  command: z.array(z.string()).readonly(),
  ports: z.array(z.int().min(1).max(65535)).readonly(),
  healthUrl: z.string().nullable(),
  logFiles: z.object({ stdout: z.string(), stderr: z.string() }).optional(),
});

export const reservedGpuSchema = z.object({
  index: z.int().nonnegative(),
  uuid: z.string(),
  name: z.string(),
  memoryTotalMiB: z.number().nonnegative(),
  /** At the time it was chosen. */
  memoryFreeMiB: z.number().nonnegative(),
  /** Likewise at that time. */
  before: gpuUseSchema.optional(),
});
/** A GPU that belongs to one run until that run ends. */
export type ReservedGpu = z.infer<typeof reservedGpuSchema>;

export const liveEngineSchema = z.object({
  spec: launchSpecSchema,
  logPath: z.string(),
  state: engineStateSchema,
});
export type LiveEngine = z.infer<typeof liveEngineSchema>;

const port = z.int().min(1).max(65535);

/** One live run: the registry's file `<BUILD_ID>.json` in the user's runtime directory. */
export const liveRunSchema = z.object({
  version: z.literal(1),
  buildId: z.string().min(1),
  /** /proc/sys/kernel/random/boot_id: after a reboot no pid means anything. */
  bootId: z.string(),
  /** The pid namespace the pids below belong to, e.g. `pid:[4026531836]`. */
  pidNamespace: z.string(),
  orchestrator: processIdentitySchema,
  /** null until the keeper has taken over. */
  keeper: processIdentitySchema.nullable(),
  /** Where the keeper listens for processes that join; null without a keeper. */
  socketPath: z.string().nullable(),
  /** `attached`: ends with its orchestrator. `detached`: stays until it is cleaned up. */
  mode: z.enum(['attached', 'detached']),
  /** When its keeper ends a detached run by itself; absent where nothing ends it. */
  expiresAt: z.iso.datetime().optional(),
  createdAt: z.iso.datetime(),
  resultsDir: z.string(),
  engine: z.enum(['vllm', 'sim']),
  runtime: z.enum(['docker', 'process']),
  /** By what they are for: `vllm`, `baseline`, ..., or whatever else a run serves on. */
  ports: z.record(z.string(), port),
  /** False: not an mp-test, so that its steps have nothing to join here. */
  joinable: z.literal(false).optional(),
  /** Settings a joining step takes over, by name. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).readonly(),
  gpus: z.array(reservedGpuSchema).readonly(),
  engines: z.record(z.string(), liveEngineSchema),
  processGroups: z.array(processGroupSchema),
  /** Temporary directories; some may be gone already. */
  directories: z.array(z.string()).optional(),
});
export type LiveRun = z.infer<typeof liveRunSchema>;
/** The ports of an mp-test. */
export type RunPorts = Readonly<Record<'vllm' | 'baseline' | 'lmcache' | 'lmcacheHttp', number>>;
