import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineStartError } from '../../engines/errors.js';
import type { EngineEndpoint, Fleet, GpuRequirements, Readiness, ReleaseReport } from '../../engines/fleet.js';
import type { EngineRole, LaunchSpec } from '../../engines/launch-spec.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import type { RunEventInput } from '../../results-schema/events.js';
import { stepResultSchema } from '../../results-schema/step-result.js';
import { step as cleanupStep } from '../../steps/cleanup.js';
import { step as launchStep } from '../../steps/launch-containers.js';
import type { RunFacts } from '../../steps/step.js';
import { step as waitStep } from '../../steps/wait-for-vllm.js';
import { type FakeContext, fakeContext, settingsFor } from './fake-context.js';

const disposables: { dispose(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(disposables.splice(0).map((context) => context.dispose()));
});

interface Recorded {
  readonly launched: LaunchSpec[];
  readonly reserved: GpuRequirements[];
  readonly events: RunEventInput[];
}

const nothingLeft: ReleaseReport = { removed: [], forced: [], problems: [] };
const gpus: readonly ReservedGpu[] = [0, 1].map((index) => ({
  index,
  uuid: `GPU-${index}`,
  name: 'NVIDIA H200',
  memoryTotalMiB: 143_771,
  memoryFreeMiB: 143_156,
}));

async function contextFor<Values>(
  settings: Parameters<typeof fakeContext<Values>>[0]['settings'],
  fleet: Partial<Fleet>,
  run: Partial<RunFacts> = {},
): Promise<FakeContext<Values> & { readonly recorded: Recorded }> {
  const context = await fakeContext<Values>({ settings, urls: {} });
  disposables.push(context);
  const recorded: Recorded = { launched: [], reserved: [], events: [] };
  return {
    ...context,
    run: { ...context.run, ...run },
    emit: (event) => recorded.events.push(event),
    fleet: {
      ...context.fleet,
      find: () => null,
      state: () => ({ status: 'unstarted' }),
      logTail: async () => [],
      launch: async (specs) => void recorded.launched.push(...specs),
      reserveGpus: async (requirements) => {
        recorded.reserved.push(requirements);
        return gpus;
      },
      release: async () => nothingLeft,
      ...fleet,
    },
    recorded,
  };
}

describe('launch-containers', () => {
  const launchSettings = (changes: Parameters<typeof settingsFor<typeof launchStep.settings>>[1] = {}) =>
    settingsFor(launchStep, { HF_HOME: '/hf', IMAGE: 'given:image', ...changes });

  it('launches the simulator on processes without asking for a GPU', async () => {
    const context = await contextFor(launchSettings({ SIM_SPEED: 20, L1_SIZE_GB: 12.5 }), {});
    expect(await launchStep.run(context)).toMatchObject({ outcome: 'passed' });
    const { launched, reserved } = context.recorded;
    expect(reserved).toEqual([]);
    expect(launched.map((spec) => spec.name)).toEqual([
      'lmcache-mp-test-test',
      'vllm-mp-test-test',
      'vllm-baseline-test-test',
    ]);
    expect(launched[0]?.args.slice(0, 2)).toEqual(['--l1-size-gb', '12.5']);
    expect(launched[1]?.environment).toMatchObject({ SIM_PROFILE: 'h200', SIM_SPEED: '20' });
    expect(launched[1]?.command).toEqual([
      process.execPath,
      path.join(context.run.workspace, 'dist/simulator/main.js'),
      'vllm',
      'serve',
    ]);
    expect(context.lines.join('\n')).toMatch(/profile "h200" decides the kernels/);
  });

  it('reserves two GPUs for real engines and hands them over', async () => {
    const settings = launchSettings({ MIN_FREE_GPU_MIB: 5, MAX_GPU_UTILIZATION: 6, GPU_WAIT_SECONDS: 7 });
    const context = await contextFor(settings, {}, { engine: 'vllm', runtime: 'docker' });
    await launchStep.run(context);
    const { launched, reserved } = context.recorded;
    expect(reserved).toMatchObject([{ count: 2, minFreeMiB: 5, maxUtilizationPercent: 6, waitMs: 7000 }]);
    expect(launched.map((spec) => spec.container.gpu?.uuids)).toEqual([['GPU-0'], ['GPU-0'], ['GPU-1']]);
    expect(launched.every((spec) => spec.container.image === 'given:image')).toBe(true);
  });

  it('launches nothing where the servers are somebody else’s', async () => {
    const context = await contextFor(launchSettings(), {}, { runtime: 'external' });
    expect(await launchStep.run(context)).toMatchObject({ outcome: 'skipped' });
    expect(context.recorded.launched).toEqual([]);
  });

  it('passes on why no GPU could be had, before anything is launched', async () => {
    const reserveGpus = () => Promise.reject(new EngineStartError('none fits', { failureCause: 'no-gpu' }));
    const context = await contextFor(launchSettings(), { reserveGpus }, { engine: 'vllm', runtime: 'docker' });
    await expect(launchStep.run(context)).rejects.toMatchObject({ failureCause: 'no-gpu', reason: 'infrastructure' });
    expect(context.recorded.launched).toEqual([]);
  });

  it('refuses a token file that is not there', async () => {
    const context = await contextFor(launchSettings({ HF_TOKEN_PATH: '/no/such/token' }), {});
    await expect(launchStep.run(context)).rejects.toThrow('HF_TOKEN_PATH "/no/such/token" cannot be read');
    expect(context.recorded.launched).toEqual([]);
  });
});

describe('wait-for-vllm', () => {
  const endpoint = (role: EngineRole): EngineEndpoint => ({
    role,
    baseUrl: 'http://127.0.0.1:1',
    containerName: null,
    logPath: `/results/logs/${role}.log`,
  });

  async function wait(readiness: Readiness, logs: readonly string[] = [], fleet: Partial<Fleet> = {}) {
    const asked: (readonly EngineRole[])[] = [];
    const context = await contextFor(settingsFor(waitStep, { MAX_WAIT_SECONDS: 12 }), {
      find: endpoint,
      logTail: async (_role, lines) => logs.slice(-lines),
      waitUntilReady: async (roles, { timeoutMs, onProgress }) => {
        asked.push(roles);
        expect(timeoutMs).toBe(12_000);
        onProgress?.(roles, 1000);
        return readiness;
      },
      ...fleet,
    });
    const result = await waitStep.run(context);
    expect(stepResultSchema.parse(result)).toEqual(result);
    return { result, asked };
  }

  it('passes with the time each engine took', async () => {
    const { result, asked } = await wait({ outcome: 'ready', readyAfterMs: { lmcache: 20_000, vllm: 131_500 } });
    expect(asked).toEqual([['lmcache', 'vllm', 'baseline']]);
    expect(result.outcome === 'passed' && result.verdicts.map(({ name, measured }) => [name, measured])).toEqual([
      ['lmcache_ready_after', 20],
      ['vllm_ready_after', 131.5],
    ]);
  });

  it('blames the machine for an engine that found no memory, with the line that says so and the log', async () => {
    const exit = { code: 1, signal: null, outOfMemory: false, at: '2026-11-22T00:00:00.000Z' };
    const line = 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 30 GiB';
    const logs = [line, ...Array.from({ length: 60 }, (_, index) => `line ${index}`)];
    const died = { role: 'vllm' as const, name: 'vllm-mp-test-x', exit, logTail: [] };
    const { result } = await wait({ outcome: 'engine-died', exit: died }, logs);
    expect(result).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'out-of-memory',
      message: `vllm-mp-test-x ended with exit code 1 before it served: ${line}. Log: /results/logs/vllm.log`,
    });
    expect(result.outcome === 'failed' && result.evidence).toHaveLength(50);
  });

  it('says unknown where the log accuses nobody', async () => {
    const exit = { code: null, signal: 'SIGSEGV', outOfMemory: false, at: '2026-11-22T00:00:00.000Z' };
    const died = { role: 'baseline' as const, name: 'b', exit, logTail: [] };
    const { result } = await wait({ outcome: 'engine-died', exit: died }, ['nothing unusual']);
    expect(result).toMatchObject({ reason: 'unknown', cause: 'engine-died' });
  });

  it('names what was still missing when time ran out, with the end of its log', async () => {
    const missing = [
      { role: 'vllm' as const, lastAnswer: 'connection refused' },
      { role: 'baseline' as const, lastAnswer: 'HTTP 503' },
    ];
    const { result } = await wait({ outcome: 'timeout', missing }, ['loading weights']);
    expect(result).toMatchObject({
      outcome: 'failed',
      reason: 'infrastructure',
      cause: 'timeout',
      message: expect.stringContaining('MAX_WAIT_SECONDS=12: vllm (connection refused), baseline (HTTP 503)'),
      evidence: [
        '--- vllm: connection refused. Log: /results/logs/vllm.log',
        'loading weights',
        '--- baseline: HTTP 503. Log: /results/logs/baseline.log',
        'loading weights',
      ],
    });
  });

  it('waits for what there is: no baseline given, and a cache server without HTTP', async () => {
    const { asked } = await wait({ outcome: 'ready', readyAfterMs: {} }, [], {
      find: (role) => (role === 'vllm' ? endpoint(role) : null),
      state: (role) =>
        role === 'lmcache'
          ? { status: 'starting', handle: { kind: 'process', pid: 1, startTime: 1 }, since: '' }
          : { status: 'unstarted' },
    });
    expect(asked).toEqual([['lmcache', 'vllm']]);
  });

  it('says how to launch when nothing was', async () => {
    await expect(wait({ outcome: 'ready', readyAfterMs: {} }, [], { find: () => null })).rejects.toThrow(
      /launch it first \(npx zx steps\/launch-containers\.mjs\)/,
    );
  });
});

describe('cleanup', () => {
  const cleanup = async (report: ReleaseReport, run: Partial<RunFacts> = {}) => {
    const context = await contextFor(settingsFor(cleanupStep), { release: async () => report }, run);
    return { result: await cleanupStep.run(context), lines: context.lines, events: context.recorded.events };
  };

  it('says what it removed', async () => {
    const { result, events } = await cleanup({ removed: ['a', 'b'], forced: [], problems: [] });
    expect(result).toMatchObject({ outcome: 'passed', message: 'removed a, b' });
    expect(events).toEqual([{ type: 'cleanup', removed: ['a', 'b'], forced: [], problems: [] }]);
  });

  it('warns of what had to be killed and of what is left, and never hides the run’s result', async () => {
    const { result, lines } = await cleanup({ removed: ['a'], forced: ['a'], problems: ['container b: busy'] });
    expect(result.outcome).toBe('passed');
    expect(lines).toEqual([
      'warning: a did not end by SIGTERM and was killed',
      'warning: left behind: container b: busy',
    ]);
  });

  it('has nothing to do with servers of others', async () => {
    expect((await cleanup(nothingLeft, { runtime: 'external' })).result).toMatchObject({ outcome: 'skipped' });
  });
});
