import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { makeFolder } from '../results-schema/make-folder.js';
import { writeWholeSync } from '../results-schema/whole-file.js';
import { BuildIdTakenError, SeveralLiveRunsError } from './errors.js';
import { withFileLock } from './file-lock.js';
import { type LiveRun, liveRunSchema } from './live-run.js';
import { isProcessAlive, readBootId, readPidNamespace } from './process-identity.js';

/** `foreign`: its pids belong to another pid namespace, so that it can be neither joined nor judged from here. */
export type Liveness = 'live' | 'dead' | 'foreign';

export interface UnreadableRecord {
  readonly path: string;
  /** As its file is named. */
  readonly buildId: string;
  readonly problem: string;
}

export interface RegistryContents {
  readonly live: readonly LiveRun[];
  /** Their orchestrator and keeper are gone; what they left is for `clean`. */
  readonly dead: readonly LiveRun[];
  readonly foreign: readonly LiveRun[];
  readonly unreadable: readonly UnreadableRecord[];
}

/** The live runs of one user on one machine: a file a run, in a directory only that user can enter. */
export interface Registry {
  readonly directory: string;
  /** Host and directory: what a label must say for a container to be one of this registry's. */
  readonly name: string;
  list(): RegistryContents;
  /** null when there is none, or none that can be read. */
  read(buildId: string): LiveRun | null;
  /** Whether there is a record, readable or not. */
  has(buildId: string): boolean;
  /**
   * Announces a new run. A dead run of the same id is replaced and handed back, for cleaning.
   * @throws BuildIdTakenError when a live run has the id.
   */
  create(run: LiveRun, options?: { readonly signal?: AbortSignal }): Promise<{ readonly replaced: LiveRun | null }>;
  /** Replaces the record at once; only the run's keeper (before it is there, its orchestrator) writes it. */
  write(run: LiveRun): void;
  remove(buildId: string): void;
  /** One process at a time: picking GPUs, creating records. */
  withLock<Result>(work: () => Promise<Result>, options?: { readonly signal?: AbortSignal }): Promise<Result>;
  /** Where the run's keeper listens: short, since a socket's path has at most 107 bytes. */
  socketPath(buildId: string): string;
}

/** `$XDG_RUNTIME_DIR/lmcache-ci`, or `/tmp/lmcache-ci-<uid>` where there is no such directory. */
export function defaultRegistryDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const runtimeDirectory = environment['XDG_RUNTIME_DIR'];
  if (runtimeDirectory && statSync(runtimeDirectory, { throwIfNoEntry: false })?.isDirectory()) {
    return path.join(runtimeDirectory, 'lmcache-ci');
  }
  return path.join(tmpdir(), `lmcache-ci-${process.getuid?.() ?? 'user'}`);
}

/** What fits into a socket's address (unix(7)) beside its end; libuv cuts off the rest, and two runs would share a socket. */
const longestSocketPath = 107;
const socketName = (buildId: string) => `${createHash('sha256').update(buildId).digest('hex').slice(0, 12)}.sock`;

/**
 * Opens the registry, making its directory (mode 0700) where needed.
 * @throws when the directory is not this user's own: somebody else could then plant records; when its path is too long.
 */
export function openRegistry(directory: string = defaultRegistryDirectory()): Registry {
  if (Buffer.byteLength(path.join(directory, socketName(''))) > longestSocketPath) {
    throw new Error(
      `The path of the registry of live runs "${directory}" is too long for a socket in it ` +
        `(${longestSocketPath - socketName('').length - 1} bytes at most): set XDG_RUNTIME_DIR to a shorter one.`,
    );
  }
  makeFolder(directory, 0o700);
  const stats = lstatSync(directory);
  if (!stats.isDirectory() || stats.uid !== process.getuid?.() || (stats.mode & 0o077) !== 0) {
    throw new Error(
      `The registry of live runs "${directory}" must be a directory of your own with mode 0700; ` +
        'remove it, or set XDG_RUNTIME_DIR to a directory of yours.',
    );
  }
  const recordPath = (buildId: string) => path.join(directory, `${buildId}.json`);
  const registry: Registry = {
    directory,
    name: `${hostname()}:${directory}`,
    list: () => listRecords(directory),
    read(buildId) {
      const record = readRecord(recordPath(buildId));
      return 'run' in record ? record.run : null;
    },
    has: (buildId) => existsSync(recordPath(buildId)),
    create: (run, options) =>
      registry.withLock(async () => {
        const existing = registry.read(run.buildId);
        if (existing && judgeLiveness(existing) !== 'dead') {
          throw new BuildIdTakenError(run.buildId, describeRun(existing));
        }
        registry.write(run);
        return { replaced: existing };
      }, options),
    write(run) {
      writeWholeSync(recordPath(run.buildId), `${JSON.stringify(run, null, 1)}\n`, 0o600);
    },
    remove(buildId) {
      // Somebody has removed it all.
      if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return;
      rmSync(registry.socketPath(buildId), { force: true });
      rmSync(recordPath(buildId), { force: true });
      // Of a process that was killed while it wrote.
      for (const name of readdirSync(directory)) {
        const isDraft = name.startsWith(`.${buildId}.`) && /^\d+\.draft$/.test(name.slice(buildId.length + 2));
        if (isDraft) rmSync(path.join(directory, name), { force: true });
      }
    },
    withLock: (work, options) => withFileLock(path.join(directory, 'registry.lock'), work, options),
    socketPath: (buildId) => path.join(directory, socketName(buildId)),
  };
  return registry;
}

/** Judged by boot id, pid namespace, pid and start time; never by a pid alone. */
export function judgeLiveness(run: LiveRun): Liveness {
  if (run.bootId !== readBootId()) return 'dead';
  if (run.pidNamespace !== readPidNamespace()) return 'foreign';
  const keeperAlive = run.keeper !== null && isProcessAlive(run.keeper);
  if (run.mode === 'detached') return keeperAlive ? 'live' : 'dead';
  return keeperAlive || isProcessAlive(run.orchestrator) ? 'live' : 'dead';
}

/** One line for a person who must choose between runs. */
export function describeRun(run: LiveRun): string {
  const engines = Object.keys(run.engines).length;
  return [
    run.mode === 'detached' ? 'left running' : `process ${run.orchestrator.pid}`,
    `since ${run.createdAt}`,
    ...(run.expiresAt === undefined ? [] : [`until ${run.expiresAt}`]),
    `${run.engine} on ${run.runtime}`,
    `ports ${Object.values(run.ports).join(', ')}`,
    engines === 1 ? '1 engine' : `${engines} engines`,
    run.resultsDir,
  ].join(', ');
}

/**
 * The one live run that a step joins.
 * @param request.buildId the run that was asked for, or null for the only one there is.
 * @returns null when there is none (of that id).
 * @throws SeveralLiveRunsError when there are several and none was asked for.
 */
export function joinLiveRun(request: {
  readonly buildId: string | null;
  readonly registryDir?: string;
}): LiveRun | null {
  const live = openRegistry(request.registryDir)
    .list()
    .live.filter((run) => run.joinable !== false);
  if (request.buildId !== null) return live.find((run) => run.buildId === request.buildId) ?? null;
  if (live.length > 1) {
    throw new SeveralLiveRunsError(live.map((run) => ({ buildId: run.buildId, description: describeRun(run) })));
  }
  return live[0] ?? null;
}

function listRecords(directory: string): RegistryContents {
  const contents = { live: [] as LiveRun[], dead: [] as LiveRun[], foreign: [] as LiveRun[] };
  const unreadable: UnreadableRecord[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (!name.endsWith('.json')) continue;
    const record = readRecord(path.join(directory, name));
    if ('run' in record) contents[judgeLiveness(record.run)].push(record.run);
    else if (record.problem !== null) {
      unreadable.push({
        path: path.join(directory, name),
        buildId: path.basename(name, '.json'),
        problem: record.problem,
      });
    }
  }
  return { ...contents, unreadable };
}

/** `problem` is null when the file is simply not there. */
function readRecord(file: string): { readonly run: LiveRun } | { readonly problem: string | null } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return { problem: missing ? null : String(error) };
  }
  try {
    const parsed = liveRunSchema.safeParse(JSON.parse(text));
    if (!parsed.success) return { problem: z.prettifyError(parsed.error) };
    const named = path.basename(file, '.json');
    return parsed.data.buildId === named
      ? { run: parsed.data }
      : { problem: `names the run "${parsed.data.buildId}", its file "${named}"` };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}
