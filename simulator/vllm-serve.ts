import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { HelpRequested, type ParserSpec, UsageError } from './argparse.js';
import { RealTimeClock } from './clock.js';
import { checkMaxModelLen } from './context-length.js';
import type { LmcacheConnector, ModelShape, Profile } from './contracts.js';
import { Pacer } from './engine/pacer.js';
import { EngineConfigError } from './engine-config-error.js';
import { EngineService } from './engine-service.js';
import { createApiServer } from './http/api-server.js';
import { createConnector } from './lmcache/connector.js';
import { createEngineLog, type EngineLog } from './log.js';
import { overriddenShape, shapeFromFolder } from './model-config.js';
import { loadProfile, UnknownProfileError } from './profiles.js';
import { rehearse } from './rehearsal.js';
import type { ServedModel } from './served-model.js';
import type { SimControlState } from './sim-control.js';
import { readSimEnvironment, SimSettingError } from './sim-environment.js';
import { engineStartFailure } from './start-faults.js';
import { createTextGenerator } from './text.js';
import { loadTokenizer } from './tokenizer/load-tokenizer.js';
import { parseVllmServe, type VllmServeOptions } from './vllm-args.js';

/** uvicorn's: hundreds of clients that connect at once are not sent away to try again a second later. */
const CONNECTION_BACKLOG = 2048;
/** Longest simulated wait for the "weights": a start is not what this simulator is for, and CI waits for it. */
const LONGEST_LOAD_SECONDS = 5;

/** Of that wait the server rehearses at most this share, and not at all when that is too short to be of use. */
const REHEARSAL_SHARE = 0.8;
const SHORTEST_REHEARSAL_MS = 1500;

/** A fault ends the start. */
class EngineStartError extends Error {
  override readonly name = 'EngineStartError';
  /** Python's name of the exception. */
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(message);
    this.kind = kind;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

export interface ServeRun {
  readonly environment: Environment;
  /** Ends the server; SIGTERM and SIGINT in a process of its own. */
  readonly signal: AbortSignal;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Called once it serves, with its port. */
  readonly onReady?: (port: number) => void;
}

/**
 * The simulated vLLM, from its command line (its own name excluded) to its end.
 * @returns the exit code: 0 when asked to end, or for help; 1 when the engine cannot start, its port is taken, or it dies;
 * 2 for a wrong command line or SIM_* variable.
 */
export async function runVllmServe(parser: ParserSpec, argv: readonly string[], run: ServeRun): Promise<number> {
  const log = createEngineLog(run, process.pid);
  try {
    const options = parseVllmServe(parser, argv);
    const role = options.connector === null ? 'baseline' : 'vllm';
    const settings = readSimEnvironment(run.environment, role);
    const profile = loadProfile(settings.profile);
    const control: SimControlState = { profile: profile.name, role, speed: settings.speed, fault: settings.fault };
    const clock = new RealTimeClock(settings.speed);
    const served = prepare(options, profile, run.environment);
    announce(log, served, control);
    return await serve(served, control, clock, log, run);
  } catch (error) {
    if (error instanceof HelpRequested) {
      run.write(error.message);
      return 0;
    }
    if (error instanceof UsageError || error instanceof SimSettingError || error instanceof UnknownProfileError) {
      run.writeError(`${error.message}\n`);
      return 2;
    }
    if (run.signal.aborted) return 0;
    run.writeError(pythonTraceback(error));
    return 1;
  }
}

function prepare(options: VllmServeOptions, profile: Profile, environment: Environment): ServedModel {
  const shape = findShape(options, profile);
  const { tensorParallelSize, gpuMemoryUtilization } = options;
  const { eager, asyncScheduling } = options;
  const stepTime = profile.stepTime(shape, {
    connector: options.connector !== null,
    tensorParallelSize,
    eager,
    asyncScheduling,
  });
  const maxModelLen = options.maxModelLen ?? shape.maxModelLen;
  checkMaxModelLen(maxModelLen, shape.maxModelLen, environment.VLLM_ALLOW_LONG_MAX_MODEL_LEN);
  // Stages share weights and KV as ranks do; a step passes all of them, one after the other.
  const poolTokens = stepTime.kvPoolTokens({ gpuMemoryUtilization, tensorParallelSize: workersOf(options) });
  const blockCount = options.gpuBlocksOverride ?? Math.floor(poolTokens / profile.blockTokens);
  // vLLM's pool keeps its first block for itself.
  const usableTokens = (blockCount - 1) * profile.blockTokens;
  if (usableTokens < maxModelLen) {
    throw new EngineConfigError(
      `To serve at least one request with the models's max seq len (${maxModelLen}), more KV cache is needed than the available ${usableTokens} tokens. Try increasing \`gpu_memory_utilization\` or decreasing \`max_model_len\` when initializing the engine.`,
    );
  }
  const { tokenizer: named } = options;
  const isFolder = named !== null && (existsSync(named) || /^[./~]/.test(named));
  const tokenizer = loadTokenizer({
    tokenizerDir: isFolder ? named : null,
    model: named ?? options.model,
    hfHome: environment.HF_HOME ?? null,
    vocabularySize: shape.vocabularySize,
  });
  return {
    options,
    profile,
    shape,
    stepTime,
    name: options.servedModelNames[0] ?? options.model,
    maxModelLen,
    blockTokens: profile.blockTokens,
    blockCount,
    tokenizer,
    text: createTextGenerator(tokenizer),
    fingerprint: `vllm-${profile.engineVersion}-${configHash(options)}`,
    apiKeys: apiKeysOf(options, environment),
    devMode: environment.VLLM_SERVER_DEV_MODE === '1',
    storesResponses: environment.VLLM_ENABLE_RESPONSES_API_STORE === '1',
  };
}

/** Those of the command line, or the environment's. */
function apiKeysOf({ apiKeys }: VllmServeOptions, { VLLM_API_KEY: own = '' }: Environment): readonly string[] {
  return (apiKeys.length > 0 ? apiKeys : [own]).filter((key) => key !== '');
}

/** GPUs, each with a worker process of its own. */
function workersOf({ tensorParallelSize, pipelineParallelSize }: VllmServeOptions): number {
  return tensorParallelSize * pipelineParallelSize;
}

/** The model may be a folder: its config.json tells the shape, or else its name or the served one. */
function findShape(options: VllmServeOptions, profile: Profile): ModelShape {
  return (
    shapeFromFolder(options.model, options.hfOverrides) ??
    overriddenShape(shapeByName(options, profile), options.hfOverrides)
  );
}

function shapeByName(options: VllmServeOptions, profile: Profile): ModelShape {
  const names = [options.model, ...options.servedModelNames];
  for (const name of names.slice(0, -1)) {
    try {
      return profile.model(name);
    } catch {
      // The next name may be known; the last one's error is the one that is shown.
    }
  }
  return profile.model(names[names.length - 1] ?? options.model);
}

function configHash(options: VllmServeOptions): string {
  return createHash('sha256').update(JSON.stringify(options.given)).digest('hex').slice(0, 8);
}

function announce(log: EngineLog, served: ServedModel, control: SimControlState): void {
  const { options, profile, tokenizer } = served;
  const tokens = served.blockCount * served.blockTokens;
  log.api(
    'WARNING',
    'lmcache-ci simulator',
    `SIMULATED vLLM ${profile.engineVersion}: profile "${profile.name}" (${profile.gpu}, ${profile.kernels} kernels, whatever VLLM_BATCH_INVARIANT says), speed ${control.speed}, fault ${control.fault.text}; no model runs here`,
  );
  log.api('INFO', 'api_utils.py:345', `version ${profile.engineVersion}, model ${options.model}`);
  log.api('INFO', 'api_utils.py:273', `non-default args: ${JSON.stringify(options.given)}`);
  if (options.withoutEffect.length > 0) {
    log.api('INFO', 'lmcache-ci simulator', `accepted, without effect here: ${options.withoutEffect.join(', ')}`);
  }
  log.api('INFO', 'lmcache-ci simulator', `tokenizer: ${tokenizer.label}`);
  log.api('INFO', 'model.py:1788', `Using max model len ${served.maxModelLen}`);
  const budget = options.maxNumBatchedTokens ?? profile.maxNumBatchedTokens;
  log.api('INFO', 'scheduler.py:252', `Chunked prefill is enabled with max_num_batched_tokens=${budget}.`);
  log.engine('INFO', 'kv_cache_utils.py:2177', `GPU KV cache size: ${tokens.toLocaleString('en-US')} tokens`);
  log.engine(
    'INFO',
    'kv_cache_utils.py:2178',
    `Maximum concurrency for ${served.maxModelLen.toLocaleString('en-US')} tokens per request: ${(tokens / served.maxModelLen).toFixed(2)}x`,
  );
}

async function serve(
  served: ServedModel,
  control: SimControlState,
  clock: RealTimeClock,
  log: EngineLog,
  run: ServeRun,
): Promise<number> {
  let reportDeath: (cause: { readonly error: unknown }) => void = () => undefined;
  const died = new Promise<{ readonly error: unknown }>((resolve) => {
    reportDeath = resolve;
  });
  const pacer = new Pacer(clock);
  const connector = openConnector(served, control, clock, log, run.environment);
  const engine = new EngineService({
    served,
    control,
    clock: pacer,
    connector,
    log,
    onFatal: (error) => reportDeath({ error }),
  });
  const server = createApiServer({ served, control, engine, clock, log, onControl: () => pacer.rearm() });
  try {
    const loadSeconds = Math.min(served.profile.loadSeconds.engine, LONGEST_LOAD_SECONDS);
    const slowStartMs = (control.fault.values.get('slow-start') ?? 0) * 1000;
    await load(served, (loadSeconds * 1000) / control.speed + slowStartMs, run.signal);
    failAtStart(served, control);
    const port = await listen(server, served.options);
    log.api('INFO', 'api_server.py:677', `Starting vLLM server on http://${served.options.host ?? '0.0.0.0'}:${port}`);
    log.server(`Started server process [${process.pid}]`);
    log.server('Waiting for application startup.');
    log.server('Application startup complete.');
    run.onReady?.(port);
    const asked = once(run.signal, 'abort').then(() => null);
    const cause = run.signal.aborted ? null : await Promise.race([asked, died]);
    if (cause !== null) {
      logDeath(log, cause.error);
      return 1;
    }
    log.server('Shutting down');
    log.server('Application shutdown complete.');
    return 0;
  } finally {
    engine.loop.close();
    server.close();
    server.closeAllConnections();
    await connector?.close();
  }
}

/** Waits for the "weights", and makes use of the wait where it is long enough. */
async function load(served: ServedModel, wallMs: number, signal: AbortSignal): Promise<void> {
  const rehearsalMs = wallMs * REHEARSAL_SHARE;
  const isWorthIt = rehearsalMs >= SHORTEST_REHEARSAL_MS;
  await Promise.all([delay(wallMs, undefined, { signal }), isWorthIt ? rehearse(served, rehearsalMs, signal) : null]);
}

function openConnector(
  served: ServedModel,
  control: SimControlState,
  clock: RealTimeClock,
  log: EngineLog,
  environment: Environment,
): LmcacheConnector | null {
  const { connector: config, model } = served.options;
  if (config === null) return null;
  log.engine('INFO', 'factory.py:62', `Creating v1 connector with name: ${config.connector}`);
  // An engine's own LMCache is one for each worker, with memory and copies of its own for its share.
  const shares = config.connector === 'LMCacheConnectorV1' ? workersOf(served.options) : 1;
  return createConnector({
    config,
    model,
    kvBytesPerToken: served.stepTime.kvBytesPerToken / shares,
    kvPoolTokens: served.blockCount * served.blockTokens,
    layers: served.shape.layers,
    transfer: served.profile.transfer,
    clock,
    speed: control.speed,
    environment,
    cacheDisabled: () => control.fault.values.has('no-cache'),
    loadSlowdown: () => 1 + (control.fault.values.get('slower-loads') ?? 0) / 100,
    log: (line) => log.lmcache('lmcache_mp_connector.py:802:lmcache.integration.vllm.lmcache_mp_connector', line),
  });
}

/** @throws Error as uvicorn words it when the address is taken. */
async function listen(server: Server, { host, port }: VllmServeOptions): Promise<number> {
  server.listen({ port, host: host ?? '0.0.0.0', backlog: CONNECTION_BACKLOG });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenError(error, host, port);
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function listenError(error: unknown, host: string | null, port: number): Error {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'EADDRINUSE') {
    return new Error(
      `[Errno 98] error while attempting to bind on address ('${host ?? '0.0.0.0'}', ${port}): [Errno 98] address already in use`,
    );
  }
  return error instanceof Error ? error : new Error(String(error));
}

function logDeath(log: EngineLog, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  log.engine(
    'ERROR',
    'core.py:1340',
    `EngineCore encountered a fatal error.\nTraceback (most recent call last):\n  File "vllm/v1/engine/core.py", line 1331, in run_engine_core\n    engine_core.run_busy_loop()\nRuntimeError: ${message}`,
  );
  log.api(
    'ERROR',
    'async_llm.py:704',
    'AsyncLLM output_handler failed.\nTraceback (most recent call last):\nvllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.',
  );
}

/** @throws EngineStartError where a fault says so. */
function failAtStart({ profile, options }: ServedModel, control: SimControlState): void {
  const gpu = { memoryGiB: profile.gpuMemoryGiB, utilization: options.gpuMemoryUtilization };
  const failure = engineStartFailure(control.fault, gpu);
  if (failure !== null) throw new EngineStartError(failure.kind, failure.message);
}

function pythonTraceback(error: unknown): string {
  if (error instanceof EngineStartError) {
    const head = 'Traceback (most recent call last):\n  File';
    return `${head} "vllm/v1/engine/core.py", line 1313, in run_engine_core\n    engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)\n${error.kind}: ${error.message}\n${head} "/usr/local/bin/vllm", line 8, in <module>\n    sys.exit(main())\nRuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n`;
  }
  const kind = error instanceof EngineConfigError ? error.kind : 'RuntimeError';
  const message = error instanceof Error ? error.message : String(error);
  return `Traceback (most recent call last):\n  File "/usr/local/bin/vllm", line 8, in <module>\n    sys.exit(main())\n${kind}: ${message}\n`;
}
