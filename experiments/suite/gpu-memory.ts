import { z } from 'zod';
import { GpuInventoryError, readGpuInventory } from '../../docker/gpu-inventory.js';
import { askServer } from '../../engines/ask-server.js';

/** MiB in use by `gpu-0`, `gpu-1`, ... */
export type GpuMemory = Readonly<Record<string, number>>;

const simulatedAnswer = z.object({ gpuMemoryUsedMiB: z.number().nonnegative() });
const answerLimitMs = 2000;

/** All cards of this machine; none where there is no driver to ask (engines that run elsewhere). */
export async function readGpuMemory(signal: AbortSignal): Promise<GpuMemory> {
  try {
    const { gpus } = await readGpuInventory({ signal });
    return Object.fromEntries(
      gpus.map(({ index, memoryTotalMiB, memoryFreeMiB }) => [`gpu-${index}`, memoryTotalMiB - memoryFreeMiB]),
    );
  } catch (error) {
    if (error instanceof GpuInventoryError) return {};
    throw error;
  }
}

/** What simulated engines say of the cards that they would have; a card that two of them share has both. */
export async function simulatedGpuMemory(
  engines: readonly { readonly baseUrl: string; readonly gpus: readonly number[] }[],
): Promise<GpuMemory> {
  const memory: Record<string, number> = {};
  const answers = await Promise.all(engines.map(({ baseUrl }) => askSimulator(baseUrl)));
  for (const [position, { gpus }] of engines.entries()) {
    const used = answers[position];
    if (used === null || used === undefined) continue;
    for (const gpu of gpus) memory[`gpu-${gpu}`] = (memory[`gpu-${gpu}`] ?? 0) + used;
  }
  return Object.fromEntries(Object.entries(memory).sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
}

async function askSimulator(baseUrl: string): Promise<number | null> {
  try {
    const { body } = await askServer(`${baseUrl}/sim/control`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(answerLimitMs),
    });
    return simulatedAnswer.parse(JSON.parse(body)).gpuMemoryUsedMiB;
  } catch {
    return null;
  }
}
