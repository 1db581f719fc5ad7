import { waitUntil } from '../../engines/wait-until.js';
import { ClientWatch } from '../../workloads/client-health.js';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import { describeOutcome } from '../../workloads/request.js';
import { listModels, serverVersion } from '../../workloads/server-api.js';
import type { SimulatedBy, Target } from '../../workloads/target.js';
import type { EngineBootstrapper } from '../engine-bootstrapper.js';
import { ExternalEngine } from '../external-engine.js';
import { type PlannedEngine, type PlannedEngines, type PlanOptions, planEngines } from './experiment-engines.js';
import { type GpuMemory, readGpuMemory, simulatedGpuMemory } from './gpu-memory.js';
import type { ResultRow } from './results-csv.js';
import { figuresOf, type Measured, sendWorkload } from './send-workload.js';
import type { Engine, Experiment, Workload } from './terms.js';
import { DummyText } from './workloads/dummy-text.js';
import { generatorOf } from './workloads/use-cases.js';

export interface ExperimentOptions extends PlanOptions {
  readonly experimentId: number;
  readonly seed: number;
  /** How long engines may take to get ready, seconds of wall time. */
  readonly readySeconds: number;
  /** Of dummy text, with the engine's own tokenizer. */
  readonly tokensPerWord: (target: Target) => Promise<number>;
  /** Told at once, with the GPU memory of the warm engines; the result's rows have that of the end. */
  onRow(row: ResultRow): void;
  /** A line on what goes on now. */
  onProgress(text: string): void;
}

export interface ExperimentResult {
  /** Why it failed; null: it did not. */
  readonly failure: string | null;
  /** False: it failed before its first request. */
  readonly measured: boolean;
  readonly engines: readonly {
    readonly id: number;
    readonly label: string;
    readonly version: string | null;
    readonly command: readonly string[];
  }[];
  readonly simulated: SimulatedBy | null;
  readonly rows: readonly ResultRow[];
  /** The client had too little of the machine for the figures to count; null: it had enough, or nothing was measured. */
  readonly overload: string | null;
}

/** Seconds of the engine's time that a request may take. */
const requestTimeoutSeconds = 600;
/** A model whose limit is not known: what most of them take at least. */
const defaultModelLength = 32_768;
const warmUpTokens = 512;
const deathLookMs = 200;
const deathLimitMs = 1000;
const warmUpRequests = 2;

interface ConnectedEngine extends PlannedEngine {
  readonly baseUrl: string;
  readonly client: MeasuringClient;
  readonly workload: Workload;
}

/**
 * One experiment: starts the engines together, waits until they serve, warms them up, sends each its workload at the same
 * time, and ends them whatever happens. A failure is a result; only an abort of the signal is thrown.
 */
export async function runExperiment(
  experiment: Experiment,
  configurations: readonly Engine[],
  options: ExperimentOptions,
): Promise<ExperimentResult> {
  const { signal } = options;
  let rows: ResultRow[] = [];
  const known: { engines: ExperimentResult['engines']; simulated: SimulatedBy | null } = {
    engines: [],
    simulated: null,
  };
  let planned: PlannedEngines | null = null;
  let connected: readonly ConnectedEngine[] = [];
  let failure: string | null = null;
  let overload: string | null = null;
  let wasMeasured = false;
  try {
    planned = await planEngines(configurations, options);
    known.engines = planned.engines.map(({ id, label, command }) => ({ id, label, command, version: null }));
    await startAll(planned, options);
    connected = await connectAll(planned.engines, experiment, options);
    known.simulated = connected.find(({ client }) => client.simulated !== null)?.client.simulated ?? null;
    known.engines = await Promise.all(connected.map((engine) => identify(engine, signal)));
    options.onProgress('warming up');
    await Promise.all(connected.map((engine) => warmUp(engine, options)));
    const warm = await gpuMemory(connected, known.simulated !== null, signal);
    options.onProgress('measuring');
    wasMeasured = true;
    const measured = await measureAll(connected, warm, options, (row) => {
      rows.push(row);
      options.onRow(row);
    });
    const death = await deathOf(planned, measured.failure !== null);
    // What LMCache has taken meanwhile counts; of what has died nothing can be read.
    const last = death === null ? await gpuMemory(connected, known.simulated !== null, signal) : {};
    rows = rows.map((row) => ({ ...row, gpuMemory: { ...warm, ...last } }));
    failure = death === null ? measured.failure : [death, measured.failure].filter(Boolean).join('; ');
    overload = measured.overload;
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  } finally {
    for (const { client } of connected) client.close();
    if (planned !== null) {
      const problem = await closeAll(planned);
      failure ??= problem;
      planned.dispose();
    }
  }
  signal.throwIfAborted();
  return { failure, measured: wasMeasured, ...known, rows, overload };
}

async function startAll({ servers, engines }: PlannedEngines, options: ExperimentOptions): Promise<void> {
  const { readySeconds, signal } = options;
  const bootstrappers = engines.map(({ bootstrapper }) => bootstrapper);
  options.onProgress('asking the servers that run already');
  const external = bootstrappers.filter((bootstrapper) => bootstrapper instanceof ExternalEngine);
  await requireReady(external, readySeconds, signal);
  options.onProgress('starting engines');
  for (const server of servers) server.start();
  await requireReady(servers, readySeconds, signal);
  for (const engine of bootstrappers) engine.start();
  await requireReady(bootstrappers, readySeconds, signal);
}

/** @throws Error with the first one's failure; the others are not waited for. */
async function requireReady(
  engines: readonly EngineBootstrapper[],
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  const given = new AbortController();
  const all = AbortSignal.any([signal, given.signal]);
  await Promise.all(
    engines.map(async (engine) => {
      if (await engine.waitUntilReady(timeoutSeconds, all)) return;
      signal.throwIfAborted();
      given.abort();
      if (engine.failure !== null) throw new Error(engine.failure);
    }),
  );
  signal.throwIfAborted();
}

async function connectAll(
  engines: readonly PlannedEngine[],
  experiment: Experiment,
  options: ExperimentOptions,
): Promise<readonly ConnectedEngine[]> {
  const Generator = generatorOf(experiment.useCase);
  return Promise.all(
    engines.map(async (engine): Promise<ConnectedEngine> => {
      const { baseUrl } = engine.bootstrapper;
      if (baseUrl === null) throw new Error(`engine ${engine.id} has no HTTP API`);
      const target = { baseUrl, model: engine.model };
      const served = await listModels(target, options.signal);
      const known = served.find(({ id }) => id === engine.model) ?? served[0];
      const input = {
        configuration: experiment.workload,
        seed: options.seed,
        maxModelLength: known?.maxModelLen ?? defaultModelLength,
        tokensPerWord: await options.tokensPerWord(target),
      };
      const workload = new Generator(input).generate();
      if (workload.requests.length === 0) throw new Error('its workload has no requests: duration * qps is below 1');
      const client = await MeasuringClient.connect(target, options.signal);
      return { ...engine, baseUrl, client, workload };
    }),
  );
}

async function identify({ id, label, command, client }: ConnectedEngine, signal: AbortSignal) {
  const version = await serverVersion(client.target, signal).catch(() => null);
  return { id, label, command, version };
}

/** The same prompt twice: the second one takes the way through the cache. It shares nothing with the workload. */
async function warmUp({ id, client }: ConnectedEngine, { seed, signal }: ExperimentOptions): Promise<void> {
  const text = new DummyText(seed ^ 0x5bd1e995, 1).ofLength(warmUpTokens);
  for (let index = 0; index < warmUpRequests; index += 1) {
    const body = {
      model: client.target.model,
      messages: [{ role: 'user', content: `Warm-up: ${text}` }],
      temperature: 0,
      max_tokens: 16,
      stream: true,
      stream_options: { include_usage: true },
    };
    const request = client.prepare('/v1/chat/completions', body, { expectedTokens: 16 });
    const { records } = await client.run([request], { maxInFlight: 1, requestTimeoutSeconds, signal });
    const [record] = records;
    if (record?.outcome.state === 'failed') {
      throw new Error(`engine ${id} failed the warm-up: ${describeOutcome(record.outcome)}`);
    }
  }
}

function gpuMemory(engines: readonly ConnectedEngine[], simulated: boolean, signal: AbortSignal): Promise<GpuMemory> {
  return simulated ? simulatedGpuMemory(engines) : readGpuMemory(signal);
}

async function measureAll(
  engines: readonly ConnectedEngine[],
  memory: GpuMemory,
  options: ExperimentOptions,
  onRow: (row: ResultRow) => void,
): Promise<{ readonly failure: string | null; readonly overload: string | null }> {
  const ttftsMs: number[] = [];
  const failures: string[] = [];
  const total = engines.reduce((sum, { workload }) => sum + workload.requests.length, 0);
  let done = 0;
  const take = (engine: ConnectedEngine, measured: Measured) => {
    const { outcome } = measured.record;
    // Never answered because the experiment was ended: there is nothing to say about it.
    if (outcome.state === 'failed' && outcome.reason === 'aborted') return;
    const row = rowOf(engine, measured, memory, options.experimentId);
    if (row.ttft !== null) ttftsMs.push((row.ttft * 1000) / engine.client.speed);
    if (outcome.state === 'failed') {
      failures.push(`engine ${engine.id}, request ${row.requestId}: ${describeOutcome(outcome)}`);
    }
    onRow(row);
    done += 1;
    options.onProgress(`${done} of ${total} requests`);
  };
  let overload: string | null = null;
  const death = new AbortController();
  const look = setInterval(() => {
    if (engines.some(({ bootstrapper }) => bootstrapper.failure !== null)) death.abort();
  }, deathLookMs);
  const signal = AbortSignal.any([options.signal, death.signal]);
  const watch = new ClientWatch();
  const lags: number[] = [];
  try {
    await Promise.all(
      engines.map(async (engine) => {
        const onMeasured = (measured: Measured) => take(engine, measured);
        lags.push(
          ...(await sendWorkload(engine.client, engine.workload, { signal, requestTimeoutSeconds, onMeasured })),
        );
      }),
    );
  } finally {
    clearInterval(look);
    overload = watch.stop(lags, ttftsMs).remedy;
  }
  const [first] = failures;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  return { failure: first === undefined ? null : `${first}${more}`, overload };
}

function rowOf(
  engine: ConnectedEngine,
  { requestId, request, record, contextLength }: Measured,
  memory: GpuMemory,
  experimentId: number,
): ResultRow {
  return {
    experimentId,
    timestamp: request.timestamp,
    engineId: engine.id,
    requestId,
    ...figuresOf(record),
    contextLength,
    queryLength: request.queryLength,
    gpuMemory: memory,
  };
}

/** An engine or server that ended although nobody stopped it. Its connections break a little before its end is known. */
async function deathOf({ servers, engines }: PlannedEngines, isLikely: boolean): Promise<string | null> {
  const all = [...servers, ...engines.map(({ bootstrapper }) => bootstrapper)];
  const find = () => all.map(({ failure }) => failure).find((failure) => failure !== null) ?? null;
  if (isLikely) await waitUntil(() => find() !== null, deathLimitMs);
  return find();
}

/** @returns what could not be ended. */
async function closeAll({ servers, engines }: PlannedEngines): Promise<string | null> {
  const problems: string[] = [];
  const close = async (engine: EngineBootstrapper) => {
    await engine.close().catch((error: unknown) => {
      problems.push(error instanceof Error ? error.message : String(error));
    });
  };
  // Servers last: an engine that loses its cache while it ends would complain.
  await Promise.all(engines.map(({ bootstrapper }) => close(bootstrapper)));
  await Promise.all(servers.map(close));
  return problems[0] ?? null;
}
