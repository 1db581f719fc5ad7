import { qualifyingGpus, waitForGpuMemory } from '../../engines/gpu-allocation.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import { openRegistry } from '../../engines/registry.js';
import type { RunFleet } from '../../engines/run-fleet.js';
import { UsageError } from '../usage-error.js';
import type { ExperimentSettings } from './experiments-settings.js';
import type { SweepView } from './sweep-view.js';

const waitMs = 300_000;
const freedLimitMs = 30_000;
const maxUtilizationPercent = 20;

/**
 * Reserves the GPUs for the whole sweep, so that no other run takes one between two experiments.
 * @param asked 0: all of the machine that fit
 * @returns by index
 * @throws UsageError when fewer were asked for than one experiment takes; EngineStartError (`no-gpu`)
 */
export async function reserveSweepGpus(
  fleet: RunFleet,
  asked: number,
  widest: number,
  settings: ExperimentSettings,
  view: SweepView,
  signal: AbortSignal,
): Promise<readonly ReservedGpu[]> {
  checkWidth(asked, widest);
  const count = asked > 0 ? asked : Math.max(widest, await fittingGpus(settings.minFreeGpuMiB, signal));
  const reserved = await fleet.reserveGpus({
    count,
    minFreeMiB: settings.minFreeGpuMiB,
    maxUtilizationPercent,
    waitMs,
    signal,
    onWaiting: (lines) => {
      view.line('waiting for GPU memory:');
      for (const line of lines) view.line(`  ${line}`);
    },
  });
  return [...reserved].sort((a, b) => a.index - b.index);
}

/** @throws UsageError */
export function checkWidth(asked: number, widest: number): void {
  if (asked === 0 || asked >= widest) return;
  throw new UsageError(
    `--gpus is "${asked}", and one experiment takes ${widest} GPUs (tensor_parallel_size x pipeline_parallel_size); ` +
      `allowed: at least ${widest}, or 0 for all. Nothing was started.`,
  );
}

/** How many a sweep of all GPUs may count on: those that fit, no other run holds and nobody else works on. */
async function fittingGpus(minFreeMiB: number, signal: AbortSignal): Promise<number> {
  const { readGpuInventory } = await import('../../docker/gpu-inventory.js');
  const inventory = await readGpuInventory({ signal });
  const { live, foreign } = openRegistry().list();
  const reserved = new Map([...live, ...foreign].flatMap((run) => run.gpus.map(({ uuid }) => [uuid, run.buildId])));
  return qualifyingGpus(inventory, reserved, { minFreeMiB, maxUtilizationPercent }).length;
}

/** Waits until cards have their memory back; what is held for longer is told. */
export async function untilFreed(cards: readonly ReservedGpu[], view: SweepView): Promise<void> {
  const { readGpuInventory } = await import('../../docker/gpu-inventory.js');
  const { held } = await waitForGpuMemory(cards, (signal) => readGpuInventory({ signal }), freedLimitMs);
  for (const line of held) view.warned(line);
}
