import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { openEngineHost, type ServerSpec } from '../../experiments/engine-host.js';
import { figuresOf, sendWorkload } from '../../experiments/suite/send-workload.js';
import { DummyGenerator } from '../../experiments/suite/workloads/dummy.js';
import { raisePriority } from '../../simulator/priority.js';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import { difference, scrapeMetrics } from '../../workloads/metrics.js';
import { rehearse } from '../../workloads/rehearsal.js';
import { median, percentile } from '../../workloads/statistics.js';
import { root, measuringTest as test } from '../end-to-end/bench.js';

const never = new AbortController().signal;
const model = 'Qwen/Qwen3-14B';
const queries = 250;
/** A stall of a virtual machine spoils one of these; being late as a rule, most of them. */
const windows = 5;
const gapSeconds = 0.08;

/** The median of the windows' 99th percentiles. */
function usualP99(valuesMs: readonly number[]): number {
  const size = queries / windows;
  const inWindows = Array.from({ length: windows }, (_, index) => valuesMs.slice(index * size, (index + 1) * size));
  return median(inWindows.map((window) => percentile(window, 99)));
}

/** Wakes as often as there are queries and does nothing else: so late is a thread of this machine at the time. */
const sleeper = `
  const { parentPort, workerData } = require('node:worker_threads');
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const start = performance.now();
  const lateMs = Array.from({ length: workerData.times }, (_, index) => {
    const due = start + (index + 0.5) * workerData.gapMs;
    Atomics.wait(nobody, 0, 0, due - performance.now());
    return performance.now() - due;
  });
  parentPort.postMessage(lateMs);
`;

function latenessOfMachine(): Promise<readonly number[]> {
  const worker = new Worker(sleeper, { eval: true, workerData: { times: queries, gapMs: gapSeconds * 1000 } });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

async function simulatedEngine(): Promise<ServerSpec> {
  const [port = 0] = await findFreePorts(1);
  return {
    program: 'vllm-serve',
    command: [process.execPath, path.join(root, 'dist', 'simulator', 'main.js'), 'vllm', 'serve'],
    args: [model, '--port', String(port), '--no-enable-prefix-caching'],
    environment: { SIM_SPEED: '1', SIM_PROFILE: 'h200' },
    container: { image: '', entrypoint: null, mounts: [], gpu: null },
    ports: [port],
    healthUrl: `http://127.0.0.1:${port}/health`,
  };
}

test("at its own speed: TTFT agrees with the server's own, requests leave on time", async ({ bench }) => {
  const directory = path.join(bench.directory, 'host');
  mkdirSync(directory);
  const host = await openEngineHost({
    id: bench.buildId,
    engine: 'sim',
    runtime: 'process',
    directory,
    ports: {},
    signal: never,
    logDirectory: directory,
    registryDir: bench.registryDir,
  });
  try {
    const engine = host.server(await simulatedEngine());
    expect(await engine.waitUntilReady(60), engine.failure ?? '').toBe(true);
    const baseUrl = engine.baseUrl ?? '';
    // As the command does.
    raisePriority();
    await rehearse(never);
    const client = await MeasuringClient.connect({ baseUrl, model }, never);
    const configuration = {
      qps: 1 / gapSeconds,
      duration: queries * gapSeconds,
      contextLength: 400,
      queryLength: 16,
      offset: 0,
      maxTokens: 2,
    };
    const input = { configuration, seed: 1, maxModelLength: 4096, tokensPerWord: 1 };
    const workload = new DummyGenerator(input).generate();
    // The server's histogram has sums: what one request adds to it is its own TTFT.
    const deviationsMs: number[] = [];
    let last = await scrapeMetrics(baseUrl, never);
    let looking = Promise.resolve();
    const look = (ttft: number | null) => {
      looking = looking.then(async () => {
        const now = await scrapeMetrics(baseUrl, never);
        const added = difference(last, now);
        last = now;
        // Where the machine stood still, two requests may have ended between two looks.
        if (added.sum('vllm:time_to_first_token_seconds_count') !== 1) return;
        deviationsMs.push(1000 * Math.abs((ttft ?? 0) - added.sum('vllm:time_to_first_token_seconds_sum')));
      });
    };
    const sentAt: number[] = [];
    const machine = latenessOfMachine();
    const lagsMs = await sendWorkload(client, workload, {
      signal: never,
      requestTimeoutSeconds: 60,
      onMeasured({ record, request }) {
        expect(record.outcome).toEqual({ state: 'ok' });
        sentAt.push(1000 * ((record.sentAt ?? 0) - request.timestamp));
        look(figuresOf(record).ttft);
      },
    });
    await looking;
    client.close();
    await engine.close();
    expect(lagsMs).toHaveLength(queries);
    expect(deviationsMs.length).toBeGreaterThan(0.9 * queries);
    expect(median(deviationsMs)).toBeLessThan(1);
    const leastMs = usualP99(await machine);
    expect(usualP99(sentAt) - leastMs).toBeLessThan(2);
    expect(usualP99(lagsMs) - leastMs).toBeLessThan(2);
  } finally {
    await host.close();
  }
});
