import type { SimFaults } from './faults.js';

const GIB = 1024 ** 3;

/** What an engine dies of while it starts, in the words of PyTorch and vLLM; null without such a fault. */
export function engineStartFailure(
  faults: SimFaults,
  gpu: { readonly memoryGiB: number; readonly utilization: number },
): { readonly kind: string; readonly message: string } | null {
  const total = gpu.memoryGiB.toFixed(2);
  if (faults.values.has('gpu-busy-at-start')) {
    const free = (gpu.memoryGiB * gpu.utilization * 0.1).toFixed(2);
    const wanted = (gpu.memoryGiB * gpu.utilization).toFixed(2);
    return {
      kind: 'ValueError',
      message: `Free memory on device cuda:0 (${free}/${total} GiB) on startup is less than desired GPU memory utilization (${gpu.utilization}, ${wanted} GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.`,
    };
  }
  if (!faults.values.has('oom-at-start')) return null;
  const used = (gpu.memoryGiB - 0.06).toFixed(2);
  return {
    kind: 'torch.OutOfMemoryError',
    message: `CUDA out of memory. Tried to allocate 170.00 MiB. GPU 0 has a total capacity of ${total} GiB of which 61.12 MiB is free. Including non-PyTorch memory, this process has ${used} GiB memory in use. Of the allocated memory ${used} GiB is allocated by PyTorch, and 12.45 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)`,
  };
}

/** What a cache server dies of when its memory tier cannot be had, in PyTorch's words; null without that fault. */
export function cacheServerStartFailure(faults: SimFaults, l1Gib: number): string | null {
  if (!faults.values.has('oom-at-start')) return null;
  return `[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate ${Math.round(l1Gib * GIB)} bytes. Error code 12 (Cannot allocate memory)`;
}
