import { spawn } from 'node:child_process';
import { type GpuInventory, parseNvidiaSmi } from './nvidia-smi-parser.js';

/** Why no GPU can be listed. */
export type GpuInventoryErrorKind =
  /** nvidia-smi is not installed, or not on PATH. */
  | 'tool-missing'
  /** The driver runs and sees no card. */
  | 'no-devices'
  /** Library and kernel module are of different versions: an update without a reboot. */
  | 'driver-mismatch'
  /** The kernel module is not loaded. */
  | 'driver-not-loaded'
  | 'timeout'
  | 'aborted'
  /** nvidia-smi answered something that is not its XML. */
  | 'bad-output'
  | 'failed';

/** The GPUs of this machine could not be listed; `message` says why and what to do. */
export class GpuInventoryError extends Error {
  override readonly name = 'GpuInventoryError';
  readonly kind: GpuInventoryErrorKind;

  constructor(kind: GpuInventoryErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** nvidia-smi takes seconds without the persistence daemon, and hangs when a card has fallen off the bus. */
const defaultTimeoutMs = 30_000;

/**
 * The GPUs of this machine, by `nvidia-smi -q -x`.
 * @param options.command nvidia-smi's name or path.
 * @throws GpuInventoryError
 */
export async function readGpuInventory(
  options: { readonly signal?: AbortSignal; readonly timeoutMs?: number; readonly command?: string } = {},
): Promise<GpuInventory> {
  const command = options.command ?? 'nvidia-smi';
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
  const answer = await run(command, ['-q', '-x'], signal).catch((error: unknown) => {
    throw startFailure(error, command, options.signal?.aborted === true, limit.aborted ? timeoutMs : null);
  });
  const output = `${answer.stdout}\n${answer.stderr}`;
  const known = knownFailures.find(([pattern]) => pattern.test(output));
  if (known !== undefined) throw new GpuInventoryError(known[1], `${firstLine(output)} ${known[2]}`);
  if (answer.exitCode !== 0) {
    throw new GpuInventoryError(
      'failed',
      `"${command} -q -x" ended with ${answer.exitCode ?? answer.signal}: ${firstLine(output) || 'it said nothing'}. Run it by hand; \`dmesg | grep -i nvrm\` may say more.`,
    );
  }
  try {
    return parseNvidiaSmi(answer.stdout);
  } catch (error) {
    throw new GpuInventoryError('bad-output', `"${command} -q -x": ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

const knownFailures: readonly (readonly [RegExp, GpuInventoryErrorKind, string])[] = [
  [/No devices were found/i, 'no-devices', 'The NVIDIA driver sees no card on this machine.'],
  [
    /Driver\/library version mismatch/i,
    'driver-mismatch',
    'The driver was updated without a restart: reboot, or reload the nvidia kernel modules.',
  ],
  [
    /couldn't communicate with the NVIDIA driver|Driver Not Loaded/i,
    'driver-not-loaded',
    'Is the kernel module loaded (`modprobe nvidia`)?',
  ],
];

interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
}

function run(command: string, args: readonly string[], signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // A process stuck in the driver ignores everything else.
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (exitCode, ended) => resolve({ stdout, stderr, exitCode, signal: ended }));
  });
}

function startFailure(
  error: unknown,
  command: string,
  aborted: boolean,
  timedOutAfterMs: number | null,
): GpuInventoryError {
  if (aborted) return new GpuInventoryError('aborted', `"${command}" was stopped.`, { cause: error });
  if (timedOutAfterMs !== null) {
    return new GpuInventoryError(
      'timeout',
      `"${command} -q -x" did not answer within ${timedOutAfterMs / 1000} s: a GPU may hang (\`dmesg | grep -i xid\`).`,
      { cause: error },
    );
  }
  const missing = error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES');
  return missing
    ? new GpuInventoryError(
        'tool-missing',
        `"${command}" is not installed or not on PATH: this machine has no NVIDIA driver. Install it, or use ENGINE=sim.`,
        { cause: error },
      )
    : new GpuInventoryError('failed', `"${command}" could not be started: ${String(error)}`, { cause: error });
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0]?.trim() ?? '';
}
