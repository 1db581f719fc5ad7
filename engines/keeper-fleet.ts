import type { GpuUse } from '../results-schema/run-record.js';
import { releaseDeadRun } from './clean.js';
import { describeExit } from './describe-exit.js';
import { readLogTail } from './engine-log.js';
import type { EngineExit, EngineState } from './engine-state.js';
import { EngineStartError } from './errors.js';
import type {
  EngineEndpoint,
  GpuRequirements,
  Readiness,
  ReleaseReport,
  UnexpectedExit,
  WaitOptions,
} from './fleet.js';
import { waitForFleet, watchForDeath } from './fleet-readiness.js';
import { allocateGpus, waitForGpuMemory } from './gpu-allocation.js';
import type { KeeperClient, KeeperEvent } from './keeper-client.js';
import type { EngineRole, LaunchSpec } from './launch-spec.js';
import type { LiveEngine, LiveRun, ReservedGpu } from './live-run.js';
import { releasePort } from './machine-claim.js';
import { refuseTakenPorts } from './port-check.js';
import { identifyProcess, isProcessAlive } from './process-identity.js';
import { readInventory } from './read-inventory.js';
import type { Registry } from './registry.js';
import type { CreateFleetOptions, EngineEvent, RunFleet } from './run-fleet.js';
import { runMark } from './run-labels.js';
import { makeTemporaryDirectory } from './temporary-directory.js';
import { untilAborted } from './until-aborted.js';

/** The driver gave memory back within 1 s of SIGTERM where it was measured; minutes were seen elsewhere. */
const gpuMemoryLimitMs = 30_000;
const shownLogLines = 50;

/** The fleet of a run whose engines its keeper holds. */
export class KeeperFleet implements RunFleet {
  readonly #registry: Registry;
  readonly #run: LiveRun;
  readonly #keeper: KeeperClient | null;
  /** Resolves when the keeper has taken the run. */
  readonly #opened: Promise<void>;
  readonly #onEvent: (event: EngineEvent) => void;
  readonly #engines = new Map<EngineRole, LiveEngine>();
  readonly #changed = new Set<() => void>();
  #gpus: readonly ReservedGpu[];
  #gpusAfter: ReadonlyMap<string, GpuUse> = new Map();
  readonly #verdictFollows: boolean;
  #letGo = false;
  #released: Promise<ReleaseReport> | null = null;

  constructor(
    registry: Registry,
    run: LiveRun,
    keeper: KeeperClient | null,
    opened: Promise<void>,
    options: Pick<CreateFleetOptions, 'onEvent' | 'verdictFollows'>,
  ) {
    this.#registry = registry;
    this.#run = run;
    this.#keeper = keeper;
    this.#opened = opened;
    // Reported where it is awaited: nobody may have to.
    opened.catch(() => undefined);
    this.#onEvent = options.onEvent ?? (() => {});
    this.#verdictFollows = options.verdictFollows === true;
    this.#gpus = run.gpus;
    for (const engine of Object.values(run.engines)) this.#engines.set(engine.spec.role, engine);
    keeper?.onEvent((event) => this.#receive(event));
    void keeper?.closed.then(() => this.#keeperLost());
  }

  get mark(): Readonly<Record<string, string>> {
    return runMark(this.#run.buildId, this.#registry.name);
  }

  get gpus(): readonly ReservedGpu[] {
    return this.#gpus;
  }

  get gpusAfter(): ReadonlyMap<string, GpuUse> {
    return this.#gpusAfter;
  }

  async reserveGpus(requirements: GpuRequirements): Promise<readonly ReservedGpu[]> {
    const keeper = await this.#requireKeeper();
    this.#gpus = await allocateGpus(this.#run.buildId, requirements, {
      registry: this.#registry,
      readInventory,
      claim: async (gpus) => (await keeper.request({ op: 'claim', gpus })).taken ?? null,
    });
    return this.#gpus;
  }

  async launch(specs: readonly LaunchSpec[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const keeper = await untilAborted(this.#requireKeeper(), signal);
    refuseTakenPorts(specs, this.#run, this.#registry);
    const starts = specs.map((spec) => {
      this.#onEvent({ type: 'engine-starting', role: spec.role, name: spec.name });
      return keeper.request({ op: 'start', spec });
    });
    // What is still being started when the run is aborted is ended by its release.
    const results = await untilAborted(Promise.allSettled(starts), signal);
    const failure = results.find((result) => result.status === 'rejected');
    if (failure) throw failure.reason;
  }

  async waitUntilReady(roles: readonly EngineRole[], options: WaitOptions): Promise<Readiness> {
    return waitForFleet(roles, options, {
      spec: (role) => this.#requireEngine(role).spec,
      isReady: (role) => this.state(role).status === 'ready',
      unexpectedExit: () => this.unexpectedExit(),
      onChange: (listener) => this.#listen(listener),
      markReady: async (role, afterMs) => {
        const { name } = this.#requireEngine(role).spec;
        this.#onEvent({ type: 'engine-ready', role, name, readyAfterSeconds: afterMs / 1000 });
        // That the keeper is gone shows as an unexpected exit.
        await this.#keeper?.request({ op: 'ready', role }).catch(() => undefined);
      },
    });
  }

  require(role: EngineRole): EngineEndpoint {
    const { spec } = this.#requireEngine(role);
    const endpoint = this.find(role);
    if (endpoint) return endpoint;
    throw new Error(`${spec.name} has no HTTP API: it was launched with LMCACHE_LAUNCH=module`);
  }

  find(role: EngineRole): EngineEndpoint | null {
    const engine = this.#engines.get(role);
    if (!engine || engine.spec.healthUrl === null) return null;
    return {
      role,
      baseUrl: new URL(engine.spec.healthUrl).origin,
      containerName: this.#run.runtime === 'docker' ? engine.spec.name : null,
      logPath: engine.logPath,
    };
  }

  state(role: EngineRole): EngineState {
    return this.#engines.get(role)?.state ?? { status: 'unstarted' };
  }

  async unexpectedExit(): Promise<UnexpectedExit | null> {
    const ended = [...this.#engines.values()]
      .flatMap(({ spec, state }) => (state.status === 'failed' && state.exit ? [{ spec, exit: state.exit }] : []))
      .sort((a, b) => a.exit.at.localeCompare(b.exit.at))[0];
    if (!ended) return null;
    const { role, name } = ended.spec;
    return { role, name, exit: ended.exit, logTail: await this.logTail(role, shownLogLines) };
  }

  untilUnexpectedExit(signal: AbortSignal): Promise<UnexpectedExit | null> {
    return watchForDeath(
      { unexpectedExit: () => this.unexpectedExit(), onChange: (listener) => this.#listen(listener) },
      signal,
    );
  }

  async logTail(role: EngineRole, lines: number): Promise<readonly string[]> {
    const engine = this.#engines.get(role);
    return engine ? readLogTail(engine.logPath, lines) : [];
  }

  async own(processGroup: number): Promise<void> {
    const leader = identifyProcess(processGroup);
    if (!leader) return;
    const group = { pgid: processGroup, startTime: leader.startTime };
    // Without its keeper the run is about to fail; the caller's own ending of the group must not suffer.
    await this.#opened.then(() => this.#keeper?.request({ op: 'own', group })).catch(() => undefined);
  }

  async disown(processGroup: number): Promise<void> {
    await this.#keeper?.request({ op: 'disown', pgid: processGroup }).catch(() => undefined);
  }

  temporaryDirectory(purpose: string): Promise<string> {
    return makeTemporaryDirectory(purpose, async (directory) => {
      await this.#opened;
      await this.#keeper?.request({ op: 'own-directory', directory });
    });
  }

  async stop(role: EngineRole): Promise<void> {
    if (!this.#engines.has(role)) return;
    await (await this.#requireKeeper()).request({ op: 'stop', role });
    this.#engines.delete(role);
  }

  async detach(ttlMs?: number): Promise<void> {
    await (await this.#requireKeeper()).request({ op: 'detach', ...(ttlMs === undefined ? {} : { ttlMs }) });
    await this.close();
  }

  async close(): Promise<void> {
    this.#letGo = true;
    await this.#opened.catch(() => undefined);
    await this.#keeper?.close();
    this.#releasePorts();
  }

  /** What this process has claimed of the machine's ports: the record, or nobody, holds them from now on. */
  #releasePorts(): void {
    for (const port of Object.values(this.#run.ports)) releasePort(port);
  }

  release(): Promise<ReleaseReport> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<ReleaseReport> {
    this.#letGo = true;
    await this.#opened.catch(() => undefined);
    const report = (await this.#releaseByKeeper()) ?? (await this.#releaseWithoutKeeper());
    if (!this.#verdictFollows) await this.#keeper?.close();
    this.#releasePorts();
    if (this.#gpus.length === 0) return report;
    try {
      const { after, held } = await waitForGpuMemory(this.#gpus, readInventory, gpuMemoryLimitMs);
      this.#gpusAfter = after;
      return { ...report, problems: [...report.problems, ...held] };
    } catch (error) {
      const unknown = `whether GPU memory was given back is not known: ${error instanceof Error ? error.message : error}`;
      return { ...report, problems: [...report.problems, unknown] };
    }
  }

  async #releaseByKeeper(): Promise<ReleaseReport | null> {
    if (!this.#keeper || this.#keeper.isClosed) return null;
    try {
      return (await this.#keeper.request({ op: 'release', verdictFollows: this.#verdictFollows })).report ?? null;
    } catch {
      return null;
    }
  }

  /** The keeper is gone: killed, hung, or ended with the run by another process. What it left is ours to remove. */
  async #releaseWithoutKeeper(): Promise<ReleaseReport> {
    const left = this.#registry.read(this.#run.buildId);
    if (!left || left.orchestrator.startTime !== this.#run.orchestrator.startTime) {
      return { removed: [], forced: [], problems: [] };
    }
    // One that hangs must not wake up and end what is not there any more.
    if (left.keeper !== null && isProcessAlive(left.keeper)) process.kill(left.keeper.pid, 'SIGKILL');
    return releaseDeadRun(left, { registry: this.#registry });
  }

  #listen(listener: () => void): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  #receive(event: KeeperEvent): void {
    if (event.event === 'stopping') {
      const name = this.#engines.get(event.role)?.spec.name ?? event.role;
      this.#onEvent({ type: 'engine-stopping', role: event.role, name });
      return;
    }
    this.#update(event.engine);
  }

  #update(engine: LiveEngine): void {
    const { spec, state } = engine;
    const { role, name } = spec;
    this.#engines.set(role, engine);
    if (state.status === 'starting') this.#onEvent({ type: 'engine-started', role, name });
    if (state.status === 'stopped')
      this.#onEvent({ type: 'engine-exited', role, name, expected: true, exit: state.exit });
    if (state.status === 'failed')
      this.#onEvent({ type: 'engine-exited', role, name, expected: false, exit: state.exit });
    for (const listener of this.#changed) listener();
  }

  /** Nobody watches the engines any more: whatever they do now, the run must not count on them. */
  #keeperLost(): void {
    if (this.#letGo) return;
    const exit: EngineExit = { code: null, signal: null, outOfMemory: false, at: new Date().toISOString() };
    for (const engine of this.#engines.values()) {
      if (engine.state.status !== 'starting' && engine.state.status !== 'ready') continue;
      const message = `the keeper of the run is gone, so ${engine.spec.name} ${describeExit(exit)}`;
      this.#update({ ...engine, state: { status: 'failed', exit, message } });
    }
  }

  async #requireKeeper(): Promise<KeeperClient> {
    await this.#opened;
    if (this.#keeper && !this.#keeper.isClosed) return this.#keeper;
    throw new EngineStartError(
      `The keeper of run "${this.#run.buildId}" is gone; remove the run: lmcache-ci step cleanup`,
      {
        failureCause: 'orchestrator-lost',
      },
    );
  }

  #requireEngine(role: EngineRole): LiveEngine {
    const engine = this.#engines.get(role);
    if (engine) return engine;
    throw new Error(
      `Run "${this.#run.buildId}" has no ${role} engine. Launch it first: npx zx steps/launch-containers.mjs`,
    );
  }
}
