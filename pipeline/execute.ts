import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import stripAnsi from 'strip-ansi';
import { makeFolder } from '../results-schema/make-folder.js';
import { secrets } from '../results-schema/secrets.js';
import type { OwnedProcessOptions, OwnedProcessResult } from '../steps/step.js';
import { settlesWithin } from './settles-within.js';

/** Who ends a process group when we cannot any more: the run's keeper. */
export interface ProcessGroupOwner {
  own(processGroup: number): Promise<void>;
  disown(processGroup: number): Promise<void>;
}

const terminationGraceMs = 5000;
/** Output of a program that has ended is waited for this long, where something that it left behind holds it open. */
const lastOutputMs = 2000;
/** What of a long output is kept in memory at least; the log file has all of it. */
const keptCharacters = 1_000_000;

/**
 * Runs a program without a shell, in a process group of its own that `owner` knows of.
 * On abort or time-out the group gets SIGTERM, then SIGKILL after 5 s. Secrets in its output are hidden.
 * @returns exit code and output; a program that cannot be started has exit code null and says why on stderr.
 * @throws the signal's reason when it was aborted.
 */
export async function executeOwned(
  command: readonly string[],
  options: OwnedProcessOptions & { readonly signal: AbortSignal; readonly owner: ProcessGroupOwner | null },
): Promise<OwnedProcessResult> {
  options.signal.throwIfAborted();
  const [program = '', ...args] = command;
  const log = options.logPath ? await openLog(options.logPath) : null;
  const child = spawn(program, args, {
    cwd: options.workingDirectory,
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const exited = new Promise<{ exitCode: number | null; signal: string | null; error?: Error }>((resolve) => {
    child.once('error', (error) => resolve({ exitCode: null, signal: null, error }));
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  const group = child.pid;

  const output = { stdout: '', stderr: '' };
  const readers: Interface[] = [];
  const follow = async (stream: Readable, name: 'stdout' | 'stderr') => {
    const reader = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
    readers.push(reader);
    for await (const rawLine of reader) {
      const line = secrets.hide(stripAnsi(rawLine));
      output[name] += `${line}\n`;
      // Not each time: cutting copies all of it.
      if (output[name].length > 2 * keptCharacters) output[name] = output[name].slice(-keptCharacters);
      log?.write(`${line}\n`);
      options.onLine?.(line, name);
    }
  };
  // Before anything is awaited: node throws the output of a program away that ends while nobody reads it.
  const followed = Promise.all([follow(child.stdout, 'stdout'), follow(child.stderr, 'stderr')]);
  if (group) await options.owner?.own(group);

  let timedOut = false;
  let killTimer: NodeJS.Timeout | undefined;
  const end = () => {
    if (!group) return;
    signalGroup(group, 'SIGTERM');
    killTimer ??= setTimeout(() => signalGroup(group, 'SIGKILL'), terminationGraceMs);
  };
  const timeout = options.timeoutMs
    ? setTimeout(() => {
        timedOut = true;
        end();
      }, options.timeoutMs)
    : undefined;
  options.signal.addEventListener('abort', end, { once: true });
  if (options.signal.aborted) end();
  try {
    const exit = await exited;
    if (exit.error) output.stderr += `${exit.error.message}\n`;
    else if (await settlesWithin(followed, lastOutputMs)) await followed;
    else {
      for (const reader of readers) reader.close();
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
    }
    options.signal.throwIfAborted();
    return { exitCode: exit.exitCode, signal: exit.signal, ...output, timedOut };
  } finally {
    clearTimeout(timeout);
    clearTimeout(killTimer);
    options.signal.removeEventListener('abort', end);
    // Grandchildren that outlived the program go with it.
    if (group) {
      signalGroup(group, 'SIGKILL');
      await options.owner?.disown(group);
    }
    if (log) {
      log.end();
      await finished(log).catch(() => undefined);
    }
  }
}

async function openLog(logPath: string) {
  makeFolder(path.dirname(logPath));
  const log = createWriteStream(logPath, { flags: 'a' });
  // A disk that is full loses lines of the log, never the program or the run.
  log.on('error', () => undefined);
  return log;
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // The group is gone, which is what was wanted.
  }
}
