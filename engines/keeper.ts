import path from 'node:path';
import { secrets } from '../results-schema/secrets.js';
import type { ContainerCleaner } from './container-cleaner.js';
import { describeExit } from './describe-exit.js';
import { endInTurn, isCacheServer, partition } from './end-in-turn.js';
import type { EngineState } from './engine-state.js';
import { EngineStartError, SurvivorError } from './errors.js';
import { expireAfter } from './expiry.js';
import type { ReleaseReport } from './fleet.js';
import { complain, hasVerdict, noteExpiry, writeLostNote } from './keeper-notes.js';
import { type KeeperAnswer, type KeeperRequest, keeperErrorOf, parseKeeperRequest } from './keeper-protocol.js';
import type { EngineRole, LaunchSpec } from './launch-spec.js';
import type { LiveEngine, LiveRun, ReservedGpu } from './live-run.js';
import { claimGpu, releaseGpu } from './machine-claim.js';
import { OwnedThings } from './owned-things.js';
import { identifySelf, isProcessAlive } from './process-identity.js';
import { openRegistry, type Registry } from './registry.js';
import { ReleaseLog, releaseDirectories, releaseGroups, releaseStrays } from './release-leftovers.js';
import { runLabels, runMark } from './run-labels.js';
import type { EngineRuntime, StartedEngine } from './runtime.js';
import { waitUntil } from './wait-until.js';

/** Where one client's answers go: the orchestrator's pipe, or a socket. */
export interface KeeperConnection {
  readonly kind: 'orchestrator' | 'joined';
  send(answer: KeeperAnswer): void;
}

export interface KeeperDependencies {
  readonly registry: Registry;
  createRuntime(kind: 'docker' | 'process'): Promise<EngineRuntime>;
  openCleaner(): Promise<ContainerCleaner>;
  /** Opens the socket for processes that join. */
  listen(socketPath: string): Promise<void>;
  /** Everything is released: nothing is left to live for. */
  finish(): void;
}

/** When the orchestrator vanished nobody waits for a gentle end, and all must be gone within 5 s. */
const lostGraceMs = 2500;
const dyingMs = 300;
/** A joined step's children when that step has gone. */
const leftGroupGraceMs = 2000;
/** A daemon that is away is waited for: while somebody waits for us, and when nobody does. */
const daemonLimitMs = 30_000;
const lostDaemonLimitMs = 10 * 60_000;
/** Engines that are just being started when the end comes. */
const pendingStartLimitMs = 10_000;
const pendingStartPauseMs = 100;
/** How often its record is looked for. */
const recordLookMs = 1000;
/** What is found at the very end has ignored its group's SIGTERM already. */
const lastGraceMs = 1000;

/**
 * The one process of a run that starts and stops its engines. It outlives whatever happens to the
 * orchestrator, and so guarantees that nothing of the run is left behind.
 */
export class Keeper {
  readonly #dependencies: KeeperDependencies;
  readonly #connections = new Set<KeeperConnection>();
  readonly #engines = new Map<EngineRole, StartedEngine>();
  readonly #starting = new Set<Promise<unknown>>();
  readonly #stopping = new Set<EngineRole>();
  readonly #owned = new OwnedThings<KeeperConnection>();
  #run: LiveRun | null = null;
  #runtime: Promise<EngineRuntime> | null = null;
  #stopGraceMs = 10_000;
  #detached = false;
  #orchestratorLost = false;
  #isReleased = false;
  /** Aborted when the orchestrator vanishes while its run is being ended: nobody waits for a gentle end any more. */
  readonly #hurry = new AbortController();
  #releasing: Promise<ReleaseReport> | null = null;

  constructor(dependencies: KeeperDependencies) {
    this.#dependencies = dependencies;
  }

  connect(connection: KeeperConnection): void {
    this.#connections.add(connection);
  }

  /** A client's stream has ended. Without `detach` the orchestrator's end is the run's end. */
  async disconnect(connection: KeeperConnection): Promise<void> {
    this.#connections.delete(connection);
    if (connection.kind === 'joined' || this.#detached) {
      await this.#releaseOf(connection);
      return;
    }
    const run = this.#run;
    const isReleased = this.#isReleased;
    // Also where it vanished in the middle of its own cleaning up.
    this.#orchestratorLost = true;
    setTimeout(() => this.#hurry.abort(), lostGraceMs);
    const report = await this.release({ graceMs: lostGraceMs });
    if (isReleased && run && !hasVerdict(run)) {
      // A process closes its files a little before it counts as dead.
      await waitUntil(() => !isProcessAlive(run.orchestrator), dyingMs);
      writeLostNote(run, report);
    }
    this.#dependencies.finish();
  }

  /** A joined step has gone: what it owned goes, the run stays. */
  async #releaseOf(connection: KeeperConnection): Promise<void> {
    const { groups, directories } = this.#owned.takeOf(connection);
    this.#publish();
    const log = new ReleaseLog();
    await releaseGroups(groups, leftGroupGraceMs, log);
    releaseDirectories(directories, log);
  }

  /** Takes one line of a client and answers it. Never throws. */
  async receive(line: string, connection: KeeperConnection): Promise<void> {
    const parsed = parseKeeperRequest(line);
    if (!parsed.ok) {
      connection.send({ id: parsed.id, ok: false, error: keeperErrorOf(new Error(parsed.message)) });
      return;
    }
    const { id, op } = parsed.request;
    try {
      connection.send({ id, ok: true, ...(await this.#perform(parsed.request, connection)) });
    } catch (error) {
      connection.send({ id, ok: false, error: keeperErrorOf(error) });
    }
    if (op !== 'release') return;
    const verdictFollows = parsed.request.op === 'release' && parsed.request.verdictFollows === true;
    if (!verdictFollows || !this.#connections.has(connection)) this.#dependencies.finish();
  }

  /** Stops and removes everything of the run, the record last. Never throws; a second call joins the first. */
  release(options: { readonly graceMs?: number } = {}): Promise<ReleaseReport> {
    this.#releasing ??= this.#release(options.graceMs ?? this.#stopGraceMs);
    return this.#releasing;
  }

  async #perform(
    request: KeeperRequest,
    connection: KeeperConnection,
  ): Promise<{ run?: LiveRun; report?: ReleaseReport; taken?: string }> {
    if (request.op === 'release') return { report: await this.release() };
    if (request.op === 'ping') return {};
    if (this.#releasing !== null) throw new Error('The run is being ended: its keeper takes no more requests');
    switch (request.op) {
      case 'guard':
        return {};
      case 'open':
        await this.#open(request.run, request.stopGraceMs);
        return {};
      case 'join':
        return { run: this.#requireRun() };
      case 'start':
        await this.#start(request.spec);
        return {};
      case 'ready':
        this.#markReady(request.role);
        return {};
      case 'stop':
        await this.#stopOne(request.role);
        return {};
      case 'own':
        this.#owned.addGroup(request.group, connection);
        this.#publish();
        return {};
      case 'disown':
        this.#owned.removeGroup(request.pgid);
        this.#publish();
        return {};
      case 'own-directory':
        this.#owned.addDirectory(request.directory, connection);
        this.#publish();
        return {};
      case 'claim':
        return this.#claim(request.gpus);
      case 'detach':
        this.#detach(request.ttlMs ?? null);
        return {};
    }
  }

  async #open(run: LiveRun, stopGraceMs: number): Promise<void> {
    this.#stopGraceMs = stopGraceMs;
    const tokenPath = run.settings['HF_TOKEN_PATH'];
    if (typeof tokenPath === 'string') secrets.learnFile(tokenPath);
    const socketPath = this.#dependencies.registry.socketPath(run.buildId);
    // Known at once: whoever is killed while the socket opens has had a run.
    this.#run = { ...run, keeper: identifySelf(), socketPath };
    await this.#dependencies.listen(socketPath);
    if (this.#releasing !== null) return;
    this.#publish();
    setInterval(() => void this.#restoreRecord(), recordLookMs).unref();
  }

  /**
   * A record that somebody has removed (`rm -rf /tmp/*`, a logout that takes XDG_RUNTIME_DIR along) is written again:
   * without it nobody could join or clean up the run, and others would take its GPUs and its ports.
   */
  async #restoreRecord(): Promise<void> {
    const run = this.#run;
    if (!run || this.#releasing !== null || this.#dependencies.registry.has(run.buildId)) return;
    try {
      openRegistry(this.#dependencies.registry.directory);
      await this.#dependencies.listen(this.#dependencies.registry.socketPath(run.buildId));
    } catch {
      // Its directory cannot be made yet: whoever logs in again brings it back.
      return;
    }
    if (this.#releasing === null) this.#publish();
  }

  async #claim(gpus: readonly ReservedGpu[]): Promise<{ taken?: string }> {
    const wanted = gpus.map(({ uuid }) => uuid);
    const held = this.#requireRun().gpus.map(({ uuid }) => uuid);
    const added: string[] = [];
    // In the same order everywhere: of two runs that want the same ones, one gets them all.
    for (const uuid of wanted.filter((uuid) => !held.includes(uuid)).sort()) {
      if (!(await claimGpu(uuid))) {
        added.forEach(releaseGpu);
        return { taken: uuid };
      }
      added.push(uuid);
    }
    held.filter((uuid) => !wanted.includes(uuid)).forEach(releaseGpu);
    this.#run = { ...this.#requireRun(), gpus };
    this.#publish();
    return {};
  }

  #detach(ttlMs: number | null): void {
    this.#detached = true;
    const ends = ttlMs === null ? {} : { expiresAt: new Date(Date.now() + ttlMs).toISOString() };
    if (this.#run) this.#run = { ...this.#run, mode: 'detached', ...ends };
    this.#publish();
    // A step that is at work on the run is let finish first.
    const isUsed = () => [...this.#connections].some(({ kind }) => kind === 'joined');
    if (ttlMs !== null) expireAfter(ttlMs, isUsed, () => this.#expire());
  }

  /** Nobody has cleaned up in time. */
  #expire(): void {
    const run = this.#run;
    void this.release().then((report) => {
      if (run) noteExpiry(run, report);
      this.#dependencies.finish();
    });
  }

  #requireRun(): LiveRun {
    if (!this.#run) throw new Error('This keeper holds no run: it only looks after process groups');
    return this.#run;
  }

  async #start(spec: LaunchSpec): Promise<void> {
    const run = this.#requireRun();
    // A token that was handed to an engine must not come out of its log.
    secrets.learnEnvironment(spec.environment);
    if (this.#engines.has(spec.role) || run.engines[spec.role]) {
      throw new EngineStartError(`The ${spec.role} engine of run "${run.buildId}" was launched already`, {
        failureCause: 'bad-value',
        reason: 'configuration',
      });
    }
    const engine: LiveEngine = {
      spec,
      logPath: spec.logFiles?.stderr ?? path.join(run.resultsDir, 'logs', `${spec.name}.log`),
      state: { status: 'unstarted' },
    };
    this.#run = { ...run, engines: { ...run.engines, [spec.role]: engine } };
    // Before it is started: whoever cleans up after a keeper that was killed must know what to look for.
    this.#publish();
    const starting = this.#startEngine(run, engine);
    this.#starting.add(starting);
    await starting.finally(() => this.#starting.delete(starting));
  }

  async #startEngine(run: LiveRun, { spec, logPath }: LiveEngine): Promise<void> {
    this.#runtime ??= this.#dependencies.createRuntime(run.runtime);
    const { name } = this.#dependencies.registry;
    const labels = runLabels(run.buildId, spec.role, name);
    // In containers too: a daemon that is killed forgets what it was starting, and only the mark tells whose that is.
    const marked = { ...spec, environment: { ...spec.environment, ...runMark(run.buildId, name) } };
    try {
      const runtime = await this.#runtime;
      if (this.#releasing !== null) throw new Error('The run is being ended: nothing is started any more');
      const started = await runtime.start(marked, logPath, labels);
      this.#engines.set(spec.role, started);
      this.#setState(spec.role, { status: 'starting', handle: started.handle, since: new Date().toISOString() });
      void started.exited.then((exit) => {
        if (this.#stopping.has(spec.role)) return;
        this.#setState(spec.role, { status: 'failed', exit, message: `${spec.name} ${describeExit(exit)}` });
      });
    } catch (error) {
      this.#setState(spec.role, { status: 'failed', exit: null, message: keeperErrorOf(error).message });
      throw error;
    }
  }

  #markReady(role: EngineRole): void {
    const state = this.#requireRun().engines[role]?.state;
    if (state?.status === 'starting') {
      this.#setState(role, { status: 'ready', handle: state.handle, since: new Date().toISOString() });
    }
  }

  #setState(role: EngineRole, state: EngineState): void {
    const run = this.#requireRun();
    const engine = run.engines[role];
    if (!engine) return;
    const changed: LiveEngine = { ...engine, state };
    this.#run = { ...run, engines: { ...run.engines, [role]: changed } };
    this.#publish();
    this.#broadcast({ event: 'engine', role, engine: changed });
  }

  #broadcast(answer: KeeperAnswer): void {
    for (const connection of this.#connections) connection.send(answer);
  }

  /** The record is for others; that it cannot be written (disk full) must not end the run. */
  #publish(): void {
    if (!this.#run) return;
    this.#run = {
      ...this.#run,
      processGroups: this.#owned.groups,
      directories: this.#owned.directories,
    };
    try {
      this.#dependencies.registry.write(this.#run);
    } catch (error) {
      complain("The registry's record could not be written", error);
    }
  }

  async #release(graceMs: number): Promise<ReleaseReport> {
    const log = new ReleaseLog();
    const orchestrator = this.#run?.orchestrator;
    try {
      if (!this.#orchestratorLost) await this.#pendingStarts(pendingStartLimitMs);
      await this.#endEverything(graceMs, log);
      // A daemon that is too busy to answer in time starts something all the same: it goes as soon as it is there.
      const deadline = performance.now() + pendingStartLimitMs;
      while (this.#starting.size > 0 && performance.now() < deadline) {
        await this.#pendingStarts(pendingStartPauseMs);
        await this.#endEverything(lastGraceMs, log);
      }
    } catch (error) {
      log.problems.push(keeperErrorOf(error).message);
    }
    const report = log.report();
    if (this.#orchestratorLost && this.#run && orchestrator) writeLostNote(this.#run, report);
    // What could not be removed is `clean`'s: the record tells what it is.
    if (this.#run && report.problems.length === 0) {
      this.#removeRecord(this.#run.buildId);
      for (const { uuid } of this.#run.gpus) releaseGpu(uuid);
    }
    this.#isReleased = true;
    return report;
  }

  #removeRecord(buildId: string): void {
    try {
      this.#dependencies.registry.remove(buildId);
    } catch (error) {
      complain("The registry's record could not be removed", error);
    }
  }

  async #endEverything(graceMs: number, log: ReleaseLog): Promise<void> {
    const { signal } = this.#hurry;
    const program = (role: EngineRole) => this.#run?.engines[role]?.spec.program ?? 'other';
    const [servers, engines] = partition([...this.#engines], ([role]) => isCacheServer(program(role)));
    const stopAll = (all: typeof engines, limitMs: number) =>
      Promise.all(all.map(([role, engine]) => this.#stopEngine(role, engine, limitMs, log)));
    const turns = {
      engines: () => stopAll(engines, graceMs),
      servers: (leftMs: number) => stopAll(servers, leftMs),
    };
    const [failures] = await Promise.all([
      endInTurn(turns, graceMs, signal),
      releaseGroups(this.#owned.groups, graceMs, log, signal),
    ]);
    const failed = failures.flat().flatMap((failure) => (failure === null ? [] : [failure]));
    releaseDirectories(this.#owned.directories, log);
    if (!this.#run) return;
    const { registry, openCleaner } = this.#dependencies;
    const { containersGone } = await releaseStrays(this.#run, {
      graceMs: Math.min(graceMs, lastGraceMs),
      log,
      openCleaner,
      registryName: registry.name,
      daemonLimitMs: this.#orchestratorLost ? lostDaemonLimitMs : daemonLimitMs,
    });
    // What could not be stopped while its daemon was away has been removed by its label since.
    if (!containersGone) log.problems.push(...failed);
  }

  async #pendingStarts(limitMs: number): Promise<void> {
    if (this.#starting.size === 0) return;
    const limit = new Promise<void>((resolve) => setTimeout(resolve, limitMs).unref());
    await Promise.race([Promise.allSettled([...this.#starting]), limit]);
  }

  async #stopOne(role: EngineRole): Promise<void> {
    const engine = this.#engines.get(role);
    const failure = engine ? await this.#stopEngine(role, engine, this.#stopGraceMs, new ReleaseLog()) : null;
    if (failure !== null) throw new Error(failure);
    this.#stopping.delete(role);
    const run = this.#requireRun();
    const { [role]: _ended, ...others } = run.engines;
    this.#run = { ...run, engines: others };
    this.#publish();
  }

  /** @returns what went wrong, null when the engine has ended. */
  async #stopEngine(role: EngineRole, engine: StartedEngine, graceMs: number, log: ReleaseLog): Promise<string | null> {
    const name = this.#run?.engines[role]?.spec.name ?? role;
    this.#stopping.add(role);
    this.#engines.delete(role);
    const wasRunning = this.#run?.engines[role]?.state.status !== 'failed';
    if (wasRunning) this.#broadcast({ event: 'stopping', role });
    try {
      const { forced } = await engine.stop(graceMs, this.#hurry.signal);
      log.ended(name, { forced, gone: true });
      if (wasRunning) this.#setState(role, { status: 'stopped', exit: await engine.exited, forced });
      return null;
    } catch (error) {
      const failure = `${name}: ${keeperErrorOf(error).message}`;
      if (!(error instanceof SurvivorError)) return failure;
      log.problems.push(failure);
      return null;
    }
  }
}
