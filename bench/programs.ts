import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface StampedLine {
  /** Milliseconds since 1970, when the line arrived here. */
  readonly at: number;
  readonly text: string;
}

export interface ProgramRun {
  readonly startedAt: number;
  readonly endedAt: number;
  /** null: ended by a signal, or it could not be started. */
  readonly exitCode: number | null;
  /** Both streams, in the order of arrival. */
  readonly lines: readonly StampedLine[];
}

/** What a program that ignores SIGTERM gets. */
const killAfterMs = 30_000;

/**
 * Runs a program to its end and stamps every line it writes. When the signal aborts it gets SIGTERM, so that it can
 * clean up, and SIGKILL 30 s later.
 */
export async function runStamped(
  command: readonly string[],
  options: {
    readonly environment: Readonly<Record<string, string | undefined>>;
    readonly workingDirectory?: string;
    readonly signal: AbortSignal;
  },
): Promise<ProgramRun> {
  options.signal.throwIfAborted();
  const [program = '', ...args] = command;
  const lines: StampedLine[] = [];
  const startedAt = Date.now();
  const child = spawn(program, args, {
    env: options.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.workingDirectory === undefined ? {} : { cwd: options.workingDirectory }),
  });
  const follow = (stream: Readable) => {
    createInterface({ input: stream }).on('line', (text) => lines.push({ at: Date.now(), text }));
  };
  follow(child.stdout);
  follow(child.stderr);
  let killTimer: NodeJS.Timeout | undefined;
  const end = () => {
    child.kill('SIGTERM');
    killTimer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  };
  options.signal.addEventListener('abort', end, { once: true });
  try {
    const exitCode = await new Promise<number | null>((resolve) => {
      child.once('error', (error) => {
        lines.push({ at: Date.now(), text: error.message });
        resolve(null);
      });
      child.once('close', resolve);
    });
    return { startedAt, endedAt: Date.now(), exitCode, lines };
  } finally {
    clearTimeout(killTimer);
    options.signal.removeEventListener('abort', end);
  }
}

/** The first line that tells of a failure, as both suites mark it. */
export function firstFailure(run: ProgramRun): string | null {
  return run.lines.find(({ text }) => text.startsWith('❌'))?.text ?? null;
}

/** Runs a program that must succeed. @returns its output. @throws Error with its last lines. */
export async function runOrThrow(
  command: readonly string[],
  options: Parameters<typeof runStamped>[1],
): Promise<string> {
  const { exitCode, lines } = await runStamped(command, options);
  const output = lines.map(({ text }) => text).join('\n');
  options.signal.throwIfAborted();
  if (exitCode === 0) return output;
  const tail = output.split('\n').slice(-15).join('\n');
  throw new Error(`"${command.join(' ')}" ended with exit code ${exitCode}:\n${tail}`);
}
