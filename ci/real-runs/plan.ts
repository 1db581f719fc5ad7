import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { enginePid, fetchPage, holdPort, nvidiaSmi, readEvents, registryOf, until, usedGpuMemory } from './machine.js';
import type { RunOutcome, Session, Watched } from './session.js';

/** The suite's parameters, or few of each. */
const small = { NUM_DOCUMENTS: '6', NUM_PROMPTS: '10', LIMIT: '50' };
/** So little GPU memory that six documents do not fit into the engine's own cache: LMCache has to give them. */
const smallCache = { ...small, GPU_MEMORY_UTILIZATION: '0.26' };
/**
 * The kit's tokenizer makes 1,556 tokens of a sample: 300 of them are 75 GB of KV, and an L1 of the suite's 80 GB evicts
 * above 80 % of it. Read again in the same order, each would just have gone.
 */
const roomForSamples = { L1_SIZE_GB: '120' };
/** As mp-test reads them from the environment. */
const defaultPorts = { VLLM_PORT: 8000, VLLM_BASELINE_PORT: 9000, LMCACHE_PORT: 6555, LMCACHE_HTTP_PORT: 8080 };
const portOf = (name: keyof typeof defaultPorts) => Number(process.env[name] ?? defaultPorts[name]);
const ports = [portOf('VLLM_PORT'), portOf('VLLM_BASELINE_PORT'), portOf('LMCACHE_HTTP_PORT')] as const;
/** Engines of the run beside grow meanwhile (818 MiB were seen); those that are killed hold 38 GB a card. */
const toleranceMiB = 2048;

/**
 * The runs of one session on a machine with two GPUs, the most valuable first: both kernel modes complete, then a small one
 * and the faults on warm engines. What only needs GPUs that are held is done beside a run where nothing is measured.
 */
export async function runPlan(session: Session): Promise<void> {
  const { quick, directory } = session.options;
  const size = quick ? { ...smallCache, NUM_DOCUMENTS: '10', NUM_PROMPTS: '4', LIMIT: '8' } : roomForSamples;
  const cache = (mode: string) => ({
    BATCH_INVARIANT: mode,
    COMPILE_CACHE_DIR: path.join(directory, '..', `compile-${mode}`),
  });
  const complete = (id: string, mode: string, limitSeconds: number, during: (run: Watched) => Promise<void>) =>
    session.run({ id, args: ['--keep-going'], environment: { ...cache(mode), ...size }, limitSeconds, ports, during });

  const seconds = (real: number) => (quick ? 15 : real);
  session.keep('machine', 'nvidia-smi.txt', await nvidiaSmi());
  await session.attempt('fault-port-taken', 0, () => portTaken(session, cache('0')));
  let serves = true;
  await session.attempt('default-kernels', 0, async () => {
    const first = await complete('default-kernels', '0', 660, async (run) => {
      if (await run.event(finished('wait-for-vllm'))) await secondRun(session, cache('0'));
    });
    serves = await hasServed(session, first);
  });
  if (!serves) {
    session.note('The engines never served: the session ends here.');
    return;
  }
  // Beside its lm-eval, where no time is judged.
  await session.attempt('batch-invariant', seconds(500), () =>
    complete('batch-invariant', '1', 900, async (run) => {
      if (!(await run.event(finished('wait-for-vllm')))) return;
      await session.attempt('fault-gpu-too-full', 0, () => gpuTooFull(session, cache('1')));
      await session.attempt('fault-port-taken-late', 0, () => portTakenLate(session, cache('1')));
      await session.attempt('fault-orchestrator-killed', 0, () => orchestratorKilled(session, cache('1')));
    }),
  );
  // The mode whose compiled code is there.
  const warm = { ...cache(session.options.skip.has('default-kernels') ? '1' : '0'), ...smallCache };
  await session.attempt('small', seconds(190), () => smallAndRecompute(session, { ...warm, NUM_DOCUMENTS: '8' }));
  await session.attempt('fault-engine-killed', seconds(70), () => engineKilled(session, warm));
  await session.attempt('fault-lmcache-killed', seconds(75), () => lmcacheKilled(session, warm));
  await session.attempt('default-kernels-warm', seconds(330), () =>
    complete('default-kernels-warm', '0', 480, async () => {}),
  );
}

type Variables = Readonly<Record<string, string>>;

const finished = (step: string) => (event: Readonly<Record<string, unknown>>) =>
  event['type'] === 'step-finished' && event['step'] === step;
const workload = (name: string, target: string) => (event: Readonly<Record<string, unknown>>) =>
  event['type'] === 'workload-started' && event['workload'] === name && event['target'] === target;

async function hasServed(session: Session, { id }: RunOutcome): Promise<boolean> {
  const events = await readEvents(session.resultsDirectory(id));
  return events.some((event) => event.type === 'engine-ready' && event['role'] === 'vllm');
}

/** Somebody else listens on vLLM's port before the run begins. */
async function portTaken(session: Session, environment: Variables): Promise<void> {
  const holder = await holdPort(ports[0]);
  try {
    await session.run({ id: 'fault-port-taken', environment: { ...environment, ...small }, limitSeconds: 60 });
  } finally {
    holder.close();
  }
}

/** Somebody takes the port once the run has looked: the engine itself finds it. In a registry of its own, beside a run. */
async function portTakenLate(session: Session, environment: Variables): Promise<void> {
  const id = 'fault-port-taken-late';
  const mine = besideRun(session, id, 20, '0.27');
  await session.run({
    id,
    args: ['--only', 'long-doc-qa'],
    environment: { ...environment, ...mine },
    limitSeconds: 120,
    during: async (run) => {
      if (!(await run.event((event) => event.type === 'engine-starting' && event['role'] === 'baseline'))) return;
      const holder = await holdPort(Number(mine['VLLM_BASELINE_PORT']));
      await until(() => run.child.exitCode !== null || run.child.signalCode !== null, 120_000);
      holder.close();
    },
  });
}

/** The first run holds both GPUs. */
async function secondRun(session: Session, environment: Variables): Promise<void> {
  await session.run({
    id: 'fault-second-run',
    environment: { ...environment, ...small, ...portsBeside(10), GPU_WAIT_SECONDS: '3' },
    limitSeconds: 60,
  });
}

/** The cards are half full, and the run asks for 90 % of them: the engine's own message has to be understood. */
async function gpuTooFull(session: Session, environment: Variables): Promise<void> {
  const id = 'fault-gpu-too-full';
  await session.run({
    id,
    args: ['--only', 'long-doc-qa'],
    environment: { ...environment, ...besideRun(session, id, 10, '0.9') },
    limitSeconds: 150,
  });
}

/** For a run beside another one. */
function portsBeside(offset: number): Variables {
  const names = ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT'] as const;
  return Object.fromEntries(names.map((name) => [name, String(portOf(name) + offset)]));
}

/** A small run on the cards of another one, whose reservation it does not know. */
function besideRun(session: Session, id: string, portOffset: number, gpuShare: string): Variables {
  const own = { ...portsBeside(portOffset), ...elsewhere(session, id) };
  return { ...small, ...own, GPU_MEMORY_UTILIZATION: gpuShare, L1_SIZE_GB: '1' };
}

/** Another user's registry, in effect: what the first run has reserved is not known there. */
function elsewhere(session: Session, id: string): Variables {
  return { XDG_RUNTIME_DIR: session.beside(id), MIN_FREE_GPU_MIB: '1000', MAX_GPU_UTILIZATION: '100' };
}

/**
 * A small complete run whose engines are left up; then their LMCache is killed while requests read from it. A test of the
 * run would end with its engine: our client alone shows whether every answer still comes, by recomputing.
 */
async function smallAndRecompute(session: Session, environment: Variables): Promise<void> {
  const id = 'small';
  try {
    await session.run({ id, args: ['--keep-going', '--keep'], environment, limitSeconds: 240, ports });
    const url = `http://127.0.0.1:${ports[0]}`;
    const bench = (name: string) =>
      session.command(
        id,
        name,
        [
          ...[
            'bench',
            '--base-url',
            url,
            '--model',
            process.env['MODEL'] ?? 'Qwen/Qwen3-14B',
            '--backend',
            'openai-chat',
          ],
          ...(process.env['MODEL_PATH'] ? ['--tokenizer', process.env['MODEL_PATH']] : []),
          ...[
            '--dataset-name',
            'random',
            '--random-input-len',
            '8000',
            '--random-output-len',
            '64',
            '--num-prompts',
            '10',
          ],
          ...['--max-concurrency', '4', '--seed', '11', '--ignore-eos'],
          ...[
            '--save-result',
            '--save-detailed',
            '--result-dir',
            session.beside(id),
            '--result-filename',
            `${name}.json`,
          ],
        ],
        Math.max(20, Math.min(120, session.leftSeconds - 30)),
      );
    if ((await bench('bench-storing')) !== 0) return;
    const reset = await fetch(`${url}/reset_prefix_cache`, { method: 'POST' }).catch(() => null);
    session.note(`${id}: the engine's own prefix cache was reset: ${reset?.status ?? 'no answer'}`);
    const reading = bench('bench-lmcache-killed');
    await untilRunning(url);
    killEngine(session, id, 'lmcache');
    await reading;
    for (const [index, role] of (['vllm', 'baseline'] as const).entries()) {
      session.keep(
        id,
        `metrics-${role}-after-kill.txt`,
        (await fetchPage(`http://127.0.0.1:${ports[index]}/metrics`)) ?? '',
      );
    }
  } finally {
    await session.command(id, 'cleanup', ['step', 'cleanup'], 90, { BUILD_ID: id });
    session.keep(id, 'nvidia-smi-cleaned.xml', await nvidiaSmi('-q', '-x'));
  }
}

/** Until the server has a request in work: the client needs a moment to make its prompts. */
async function untilRunning(url: string): Promise<void> {
  const isRunning = async () => /^vllm:num_requests_running\S* [1-9]/m.test((await fetchPage(`${url}/metrics`)) ?? '');
  await until(isRunning, 30_000);
  await delay(300);
}

/** In the query round, when everything is stored and is being read. */
async function lmcacheKilled(session: Session, environment: Variables): Promise<void> {
  await session.run({
    id: 'fault-lmcache-killed',
    args: ['--only', 'long-doc-qa'],
    environment,
    limitSeconds: 200,
    ports,
    during: async (run) => {
      if (!(await run.event(workload('long-doc-qa', 'lmcache')))) return;
      await delay(session.options.quick ? 900 : 7500);
      killEngine(session, run.id, 'lmcache');
    },
  });
}

async function engineKilled(session: Session, environment: Variables): Promise<void> {
  await session.run({
    id: 'fault-engine-killed',
    args: ['--only', 'lm-eval'],
    environment,
    limitSeconds: 180,
    ports,
    during: async (run) => {
      if (!(await run.event(workload('lm-eval first_run', 'vllm')))) return;
      await delay(session.options.quick ? 50 : 700);
      killEngine(session, run.id, 'vllm');
    },
  });
}

function killEngine(session: Session, id: string, role: string): void {
  const pid = enginePid(registryOf(process.env['XDG_RUNTIME_DIR']), id, role);
  session.note(`${id}: SIGKILL to ${role} (${pid})`);
  if (pid !== null) process.kill(pid, 'SIGKILL');
}

/** `kill -9` of lmcache-ci itself; its keeper has to give everything back. Beside a run, in a registry of its own. */
async function orchestratorKilled(session: Session, environment: Variables): Promise<void> {
  const id = 'fault-orchestrator-killed';
  const own = besideRun(session, id, 30, '0.27');
  const before = await usedGpuMemory();
  let killedAt = 0;
  await session.run({
    id,
    args: ['--only', 'lm-eval'],
    environment: { ...environment, ...own },
    limitSeconds: 180,
    during: async (run) => {
      if (!(await run.event(workload('lm-eval first_run', 'vllm')))) return;
      await delay(session.options.quick ? 50 : 500);
      session.note(`${id}: SIGKILL to the orchestrator (${run.child.pid})`);
      killedAt = performance.now();
      run.child.kill('SIGKILL');
    },
  });
  if (killedAt === 0) return;
  const isBack = async () => {
    const now = await usedGpuMemory();
    return now.every((used, index) => used <= (before[index] ?? 0) + toleranceMiB);
  };
  const lines = [
    `used MiB before: ${before.join(', ')}`,
    `memory back: ${(await until(isBack, 60_000)) ? `${((performance.now() - killedAt) / 1000).toFixed(1)} s after the kill` : 'not within 60 s'}`,
    `used MiB after: ${(await usedGpuMemory()).join(', ')}`,
  ];
  const registry = registryOf(own['XDG_RUNTIME_DIR']);
  const recordGone = await until(() => enginePid(registry, id, 'vllm') === null, 10_000);
  lines.push(`registry's record gone: ${recordGone}`);
  for (const line of lines) session.note(`${id}: ${line}`);
  session.keep(id, 'afterwards.txt', `${lines.join('\n')}\n`);
  session.keep(id, 'nvidia-smi-later.xml', await nvidiaSmi('-q', '-x'));
}
