import type { GpuInventory } from '../docker/nvidia-smi-parser.js';
import { EngineStartError } from './errors.js';

/**
 * What nvidia-smi says now. Loaded only where GPUs are used: parsing its XML takes a library.
 * @throws EngineStartError (`no-gpu`); the signal's reason when aborted
 */
export async function readInventory(signal: AbortSignal): Promise<GpuInventory> {
  const { GpuInventoryError, readGpuInventory } = await import('../docker/gpu-inventory.js');
  return readGpuInventory({ signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    if (!(error instanceof GpuInventoryError)) throw error;
    throw new EngineStartError(error.message, { failureCause: 'no-gpu', cause: error });
  });
}
