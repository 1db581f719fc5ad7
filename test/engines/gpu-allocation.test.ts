import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Gpu, GpuInventory } from '../../docker/nvidia-smi-parser.js';
import type { GpuRequirements } from '../../engines/fleet.js';
import { allocateGpus, qualifyingGpus, waitForGpuMemory } from '../../engines/gpu-allocation.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import { openRegistry } from '../../engines/registry.js';
import { sampleRun, temporaryDirectory } from './engine-rig.js';

function gpu(index: number, changes: Partial<Gpu> = {}): Gpu {
  return {
    index,
    uuid: `GPU-${index}`,
    name: 'NVIDIA H200',
    memoryTotalMiB: 143_771,
    memoryUsedMiB: 615,
    memoryFreeMiB: 143_156,
    utilizationPercent: 0,
    processes: [],
    migEnabled: false,
    eccEnabled: true,
    ...changes,
  };
}

const inventoryOf = (...gpus: Gpu[]): GpuInventory => ({
  driverVersion: null,
  cudaVersion: null,
  gpus,
  unreadable: [],
});
const limits = { minFreeMiB: 70_000, maxUtilizationPercent: 20 };
const none = new Map<string, string>();

/** @param elsewhere uuids that runs of other registries have claimed */
function setUp(answers: readonly GpuInventory[], elsewhere: readonly string[] = []) {
  const registry = openRegistry(path.join(temporaryDirectory(), 'registry'));
  const claimed: ReservedGpu[] = [];
  let asked = 0;
  return {
    registry,
    claimed,
    allocate: (changes: Partial<GpuRequirements> = {}) =>
      allocateGpus(
        'mine',
        { count: 2, ...limits, waitMs: 0, signal: new AbortController().signal, ...changes },
        {
          registry,
          readInventory: async () => {
            const answer = answers[Math.min(asked++, answers.length - 1)];
            if (!answer) throw new Error('no answer');
            return answer;
          },
          claim: async (gpus) => {
            const taken = gpus.find(({ uuid }) => elsewhere.includes(uuid));
            if (taken === undefined) claimed.push(...gpus);
            return taken?.uuid ?? null;
          },
        },
      ),
  };
}

describe('choosing GPUs', () => {
  it('takes those with the most free memory, of equals the lower index', () => {
    const all = inventoryOf(gpu(0, { memoryFreeMiB: 80_000 }), gpu(1), gpu(2), gpu(3, { memoryFreeMiB: 100_000 }));
    expect(qualifyingGpus(all, none, limits).map(({ index }) => index)).toEqual([1, 2, 3, 0]);
  });

  it.each([
    ['too little free memory', { memoryFreeMiB: 69_999 }],
    ['too busy', { utilizationPercent: 21 }],
    ['split by MIG', { migEnabled: true }],
  ])('leaves out one that is %s', (_why, changes) => {
    expect(qualifyingGpus(inventoryOf(gpu(0, changes), gpu(1)), none, limits).map(({ index }) => index)).toEqual([1]);
  });

  it('takes what is just enough, and judges a silent card by its memory', () => {
    const all = inventoryOf(
      gpu(0, { memoryFreeMiB: 70_000, utilizationPercent: 20 }),
      gpu(1, { utilizationPercent: null }),
    );
    expect(qualifyingGpus(all, none, limits)).toHaveLength(2);
    expect(qualifyingGpus(all, new Map([['GPU-1', 'other']]), limits)).toHaveLength(1);
  });
});

describe('reserving GPUs', () => {
  it('claims two and gives what is known of them', async () => {
    const { allocate, claimed } = setUp([inventoryOf(gpu(0), gpu(1), gpu(2))]);
    const gpus = await allocate();
    expect(gpus.map(({ uuid }) => uuid)).toEqual(['GPU-0', 'GPU-1']);
    expect(claimed).toEqual(gpus);
    expect(gpus[0]?.before).toEqual({ usedMiB: 615, processes: [] });
  });

  it('passes by those that another user has claimed, and says so where too few are left', async () => {
    const all = inventoryOf(gpu(0), gpu(1), gpu(2), gpu(3));
    const { allocate, claimed } = setUp([all], ['GPU-0', 'GPU-2']);
    expect((await allocate()).map(({ uuid }) => uuid)).toEqual(['GPU-1', 'GPU-3']);
    expect(claimed).toHaveLength(2);
    await expect(setUp([all], ['GPU-0', 'GPU-2', 'GPU-3']).allocate()).rejects.toMatchObject({
      evidence: expect.arrayContaining([expect.stringMatching(/^GPU 3 .*; reserved by another user's run; /)]),
    });
  });

  it('waits for memory that a dead neighbour still holds, telling what it sees', async () => {
    const held = gpu(1, { memoryFreeMiB: 20_000, processes: [{ pid: 7, name: 'python', usedMiB: 123_000 }] });
    const { allocate } = setUp([inventoryOf(gpu(0), held), inventoryOf(gpu(0), gpu(1))]);
    const seen: string[] = [];
    const gpus = await allocate({ waitMs: 60_000, onWaiting: (lines) => seen.push(...lines) });
    expect(gpus).toHaveLength(2);
    expect(seen[1]).toBe(
      'GPU 1 (NVIDIA H200): 20000 of 143771 MiB free; utilization 0 %; not reserved; process 7 (python, 123000 MiB)',
    );
  });

  it('fails with each GPU, its memory and who uses it, also the run that reserved it', async () => {
    const { allocate, registry } = setUp([inventoryOf(gpu(0), gpu(1, { utilizationPercent: 99 }))]);
    const reserved = { index: 0, uuid: 'GPU-0', name: 'x', memoryTotalMiB: 1, memoryFreeMiB: 1 };
    registry.write(sampleRun({ buildId: 'neighbour', gpus: [reserved] }));
    registry.write(sampleRun({ buildId: 'long-dead', bootId: 'another', gpus: [{ ...reserved, uuid: 'GPU-1' }] }));
    const failing = allocate();
    await expect(failing).rejects.toMatchObject({
      failureCause: 'no-gpu',
      reason: 'infrastructure',
      evidence: [
        'GPU 0 (NVIDIA H200): 143156 of 143771 MiB free; utilization 0 %; reserved by run neighbour; no process seen on it',
        'GPU 1 (NVIDIA H200): 143156 of 143771 MiB free; utilization 99 %; not reserved; no process seen on it',
      ],
    });
    await expect(failing).rejects.toThrow(
      /2 GPUs with at least 70000 MiB free and at most 20 % utilization: not found within 0 s/,
    );
  });

  it('does not wait for cards that are not there, and says why one cannot be used', async () => {
    const unreadable = [{ index: 1, name: 'NVIDIA H200', uuid: null, why: 'fell off the bus' }];
    const { allocate } = setUp([{ ...inventoryOf(gpu(0)), unreadable }]);
    const failing = allocate({ waitMs: 60_000 });
    await expect(failing).rejects.toThrow(/this machine has 1/);
    await expect(failing).rejects.toMatchObject({
      evidence: [expect.stringContaining('GPU 0'), 'GPU 1 (NVIDIA H200): cannot be used: fell off the bus'],
    });
  });

  it('ends its waiting when aborted', async () => {
    const { allocate } = setUp([inventoryOf(gpu(0), gpu(1, { memoryFreeMiB: 0 }))]);
    const abort = new AbortController();
    await expect(allocate({ waitMs: 60_000, signal: abort.signal, onWaiting: () => abort.abort() })).rejects.toThrow(
      /abort/i,
    );
  });
});

describe('GPU memory after the end', () => {
  const mine = [{ index: 1, uuid: 'GPU-1', name: 'x', memoryTotalMiB: 143_771, memoryFreeMiB: 143_156 }];

  it('is waited for until it is given back', async () => {
    const answers = [
      inventoryOf(gpu(0), gpu(1, { memoryFreeMiB: 60_000 })),
      inventoryOf(gpu(0, { memoryFreeMiB: 1 }), gpu(1)),
    ];
    const report = await waitForGpuMemory(mine, async () => answers.shift() ?? inventoryOf(), 10_000);
    expect(report).toEqual({ held: [], after: new Map([['GPU-1', { usedMiB: 615, processes: [] }]]) });
    expect(answers).toEqual([]);
  });

  it('is reported when it is not, with who holds it', async () => {
    const processes = [{ pid: 7, name: 'python', usedMiB: 83_000 }];
    const held = inventoryOf(gpu(1, { memoryFreeMiB: 60_000, memoryUsedMiB: 83_771, processes }));
    const report = await waitForGpuMemory(mine, async () => held, 0);
    expect(report.after.get('GPU-1')).toEqual({ usedMiB: 83_771, processes });
    expect(report.held[0]).toMatch(/^memory not given back: GPU 1 .*60000 of 143771 MiB free/);
  });

  it('is not known of a card that is lost', async () => {
    const report = await waitForGpuMemory(mine, async () => inventoryOf(gpu(0)), 10_000);
    expect(report.held).toEqual(['GPU 1 (x) is lost: nvidia-smi cannot tell its memory any more']);
  });

  it.each([
    [100, 0],
    [101, 1],
  ])('of %i MiB that are missing is held by %i cards', async (missingMiB, cards) => {
    const now = inventoryOf(gpu(1, { memoryFreeMiB: 143_156 - missingMiB }));
    expect((await waitForGpuMemory(mine, async () => now, 0)).held).toHaveLength(cards);
  });
});
