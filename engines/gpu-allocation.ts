import { setTimeout as delay } from 'node:timers/promises';
import type { Gpu, GpuInventory } from '../docker/nvidia-smi-parser.js';
import type { GpuUse } from '../results-schema/run-record.js';
import { EngineStartError } from './errors.js';
import type { GpuRequirements } from './fleet.js';
import type { LiveRun, ReservedGpu } from './live-run.js';
import type { Registry } from './registry.js';

const lookAgainMs = 2000;

/** Whose the GPUs are that a live run holds, by uuid. */
function reservations(runs: readonly LiveRun[], except: string): Map<string, string> {
  const others = runs.filter((run) => run.buildId !== except);
  return new Map(others.flatMap((run) => run.gpus.map((gpu) => [gpu.uuid, `run ${run.buildId}`])));
}

/** The GPUs that may be taken, the one with the most free memory first; of equals the lower index. */
export function qualifyingGpus(
  inventory: GpuInventory,
  reservedBy: ReadonlyMap<string, string>,
  limits: Pick<GpuRequirements, 'minFreeMiB' | 'maxUtilizationPercent'>,
): readonly Gpu[] {
  return inventory.gpus
    .filter(
      (gpu) =>
        !reservedBy.has(gpu.uuid) &&
        gpu.migEnabled !== true &&
        gpu.memoryFreeMiB >= limits.minFreeMiB &&
        // A card that does not say how busy it is, is judged by its memory alone.
        (gpu.utilizationPercent ?? 0) <= limits.maxUtilizationPercent,
    )
    .toSorted((a, b) => b.memoryFreeMiB - a.memoryFreeMiB || a.index - b.index);
}

/** One line a GPU: memory, load, its processes, who reserved it; last those that cannot be read. */
export function describeGpus(inventory: GpuInventory, reservedBy: ReadonlyMap<string, string>): readonly string[] {
  const readable = inventory.gpus.map((gpu) => {
    const holder = reservedBy.get(gpu.uuid);
    const users = gpu.processes.map(
      (user) => `process ${user.pid} (${user.name}${user.usedMiB === null ? '' : `, ${user.usedMiB} MiB`})`,
    );
    const facts = [
      `${gpu.memoryFreeMiB} of ${gpu.memoryTotalMiB} MiB free`,
      gpu.utilizationPercent === null ? 'utilization unknown' : `utilization ${gpu.utilizationPercent} %`,
      ...(gpu.migEnabled ? ['split by MIG'] : []),
      holder === undefined ? 'not reserved' : `reserved by ${holder}`,
      users.length === 0 ? 'no process seen on it' : users.join(', '),
    ];
    return `GPU ${gpu.index} (${gpu.name}): ${facts.join('; ')}`;
  });
  const unreadable = inventory.unreadable.map((gpu) => `GPU ${gpu.index} (${gpu.name}): cannot be used: ${gpu.why}`);
  return [...readable, ...unreadable];
}

/**
 * Chooses GPUs and reserves them under the registry's lock, and by a claim that other users' runs see, so that two runs
 * never pick the same; waits for memory that a dead neighbour still holds, without the lock.
 * @param claim claims the choice and writes it into the run's record, while the lock is held; tells the uuid of one that
 *   another registry's run has claimed, and null where all are ours
 * @throws EngineStartError (`no-gpu`) listing every GPU and who uses it; the signal's reason when aborted
 */
export async function allocateGpus(
  buildId: string,
  requirements: GpuRequirements,
  dependencies: {
    readonly registry: Registry;
    readInventory(signal: AbortSignal): Promise<GpuInventory>;
    claim(gpus: readonly ReservedGpu[]): Promise<string | null>;
  },
): Promise<readonly ReservedGpu[]> {
  const { registry } = dependencies;
  const { signal } = requirements;
  const deadline = performance.now() + requirements.waitMs;
  for (;;) {
    signal.throwIfAborted();
    const attempt = await registry.withLock(
      async () => {
        const inventory = await dependencies.readInventory(signal);
        const { live, foreign } = registry.list();
        const reservedBy = reservations([...live, ...foreign], buildId);
        for (;;) {
          const chosen = qualifyingGpus(inventory, reservedBy, requirements).slice(0, requirements.count);
          if (chosen.length < requirements.count) {
            return { lines: describeGpus(inventory, reservedBy), present: inventory.gpus.length };
          }
          const gpus = chosen.map((gpu) => {
            const { index, uuid, name, memoryTotalMiB, memoryFreeMiB } = gpu;
            return { index, uuid, name, memoryTotalMiB, memoryFreeMiB, before: useOf(gpu) };
          });
          const taken = await dependencies.claim(gpus);
          if (taken === null) return { gpus };
          reservedBy.set(taken, "another user's run");
        }
      },
      { signal },
    );
    if ('gpus' in attempt) return attempt.gpus;
    // Cards that are not there do not come by waiting.
    const hopeless = attempt.present < requirements.count;
    if (hopeless || performance.now() >= deadline) throw noGpu(requirements, attempt);
    requirements.onWaiting?.(attempt.lines);
    await delay(Math.min(lookAgainMs, Math.max(0, deadline - performance.now())), undefined, { signal });
  }
}

function noGpu(
  requirements: GpuRequirements,
  { lines, present }: { readonly lines: readonly string[]; readonly present: number },
): EngineStartError {
  const { count, minFreeMiB, maxUtilizationPercent, waitMs } = requirements;
  const wanted = `${count} GPUs with at least ${minFreeMiB} MiB free and at most ${maxUtilizationPercent} % utilization`;
  const waited = present < count ? `this machine has ${present}` : `not found within ${waitMs / 1000} s`;
  return new EngineStartError(
    `${wanted}: ${waited}. Free them, lower MIN_FREE_GPU_MIB or raise GPU_WAIT_SECONDS; ENGINE=sim runs without.`,
    { failureCause: 'no-gpu', evidence: lines.length > 0 ? lines : ['no GPU on this machine'] },
  );
}

/** What a GPU is used for now. */
function useOf({ memoryUsedMiB, processes }: Gpu): GpuUse {
  return { usedMiB: memoryUsedMiB, processes: processes.map(({ pid, name, usedMiB }) => ({ pid, name, usedMiB })) };
}

/** What is left on the run's GPUs when it is over. */
export interface GpuMemoryReport {
  /** By uuid; a GPU that nvidia-smi no longer shows is missing. */
  readonly after: ReadonlyMap<string, GpuUse>;
  /** A line for each GPU that still holds more than when it was chosen, or cannot be read any more. */
  readonly held: readonly string[];
}

/** What a driver keeps for itself differs by a little from time to time. */
const toleranceMiB = 100;

/**
 * Waits until the run's GPUs have their memory back, to within 100 MiB of what was used when they were chosen: the driver
 * returns it some time after the process's end, and the next run would find too little.
 * @param limitMs what is held after that time is reported
 */
export async function waitForGpuMemory(
  gpus: readonly ReservedGpu[],
  readInventory: (signal: AbortSignal) => Promise<GpuInventory>,
  limitMs: number,
): Promise<GpuMemoryReport> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const inventory = await readInventory(AbortSignal.timeout(Math.max(5000, limitMs)));
    const ours = inventory.gpus.filter((gpu) => gpus.some(({ uuid }) => uuid === gpu.uuid));
    const held = ours.filter((gpu) =>
      gpus.some(({ uuid, memoryFreeMiB }) => uuid === gpu.uuid && gpu.memoryFreeMiB < memoryFreeMiB - toleranceMiB),
    );
    if (held.length === 0 || performance.now() >= deadline) {
      const lines = describeGpus({ ...inventory, gpus: held, unreadable: [] }, new Map());
      const lost = gpus.filter(({ uuid }) => !ours.some((gpu) => gpu.uuid === uuid));
      return {
        after: new Map(ours.map((gpu) => [gpu.uuid, useOf(gpu)])),
        held: [
          ...lines.map((line) => `memory not given back: ${line}`),
          ...lost.map(
            ({ index, name }) => `GPU ${index} (${name}) is lost: nvidia-smi cannot tell its memory any more`,
          ),
        ],
      };
    }
    await delay(Math.min(500, Math.max(0, deadline - performance.now())));
  }
}
