import { askServer } from '../engines/ask-server.js';
import type { MachineProbes } from './engine-choice.js';

/** The answers of this machine; what a question needs is loaded when it is asked. @param minGpuMemoryMiB what a GPU must have in all to fit (MIN_FREE_GPU_MIB) */
export function machineProbes(minGpuMemoryMiB: number, externalUrl: string | null, fewestGpus = 2): MachineProbes {
  return {
    dockerMissing: async () => {
      const { openContainerHost } = await import('../docker/client.js');
      try {
        await openContainerHost().ping();
        return null;
      } catch (error) {
        return `Docker is not available: ${error instanceof Error ? error.message : String(error)}`;
      }
    },
    gpusMissing: async () => {
      const { GpuInventoryError, readGpuInventory } = await import('../docker/gpu-inventory.js');
      const gpus = await readGpuInventory().then(
        (inventory) => inventory.gpus,
        (error: unknown) => {
          if (error instanceof GpuInventoryError) return error.message;
          throw error;
        },
      );
      if (typeof gpus === 'string') return gpus;
      const fitting = gpus.filter(({ memoryTotalMiB }) => memoryTotalMiB >= minGpuMemoryMiB);
      return fitting.length >= fewestGpus
        ? null
        : `${fewestGpus === 1 ? 'a GPU' : `${fewestGpus} GPUs`} with at least ${minGpuMemoryMiB} MiB ${fewestGpus === 1 ? 'is' : 'are'} needed, this machine has ${fitting.length} (of ${gpus.length} GPUs).`;
    },
    vllmMissing: async () => {
      const { which } = await import('zx');
      const found = await Promise.all(['vllm', 'lmcache'].map((program) => which(program, { nothrow: true })));
      return found.every(Boolean) ? null : 'vllm and lmcache are not both on PATH.';
    },
    externalIsSimulated: async () => {
      if (!externalUrl) return false;
      const answer = await askServer(`${externalUrl}/version`, { signal: AbortSignal.timeout(5000) }).catch(() => null);
      return answer !== null && answer.header('x-lmcache-ci-simulated') !== null;
    },
  };
}
