import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { type BuildMessage, parseRawJsonLine } from './build-messages.js';

/** `--progress=rawjson` came with buildx 0.13. */
const oldestVersion = [0, 13] as const;
const versionLimitMs = 10_000;
/** From SIGTERM to SIGKILL: buildx tells BuildKit to stop, which takes a moment. */
const killAfterMs = 5_000;

export interface BuildxOptions {
  readonly contextDirectory: string;
  /** Absolute. */
  readonly dockerfile: string;
  readonly tag: string;
  readonly target: string | null;
  readonly buildArgs: Readonly<Record<string, string>>;
}

/** The buildx plugin's version when it is there and new enough for rawjson progress, else null. */
export async function findBuildx(dockerHost: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('docker', ['buildx', 'version'], {
      timeout: versionLimitMs,
      env: commandEnvironment(dockerHost),
    });
    const [, version, major, minor] = /\bv?((\d+)\.(\d+)[^\s]*)/.exec(stdout) ?? [];
    if (version === undefined) return null;
    const newEnough =
      Number(major) > oldestVersion[0] || (Number(major) === oldestVersion[0] && Number(minor) >= oldestVersion[1]);
    return newEnough ? version : null;
  } catch {
    // No docker command, no plugin, or one that hangs: there is another way to build.
    return null;
  }
}

/** Arguments of `docker` for one build. The daemon's own BuildKit builds, whatever builder is selected. */
export function buildxArguments(options: BuildxOptions): string[] {
  return [
    'buildx',
    'build',
    '--builder',
    'default',
    '--progress=rawjson',
    '--load',
    '--file',
    options.dockerfile,
    '--tag',
    options.tag,
    ...(options.target === null ? [] : ['--target', options.target]),
    ...Object.entries(options.buildArgs).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    options.contextDirectory,
  ];
}

/**
 * Runs the build to its end; every line it prints goes to `onMessage`.
 * @param signal ends the command and what it started: SIGTERM, then SIGKILL.
 * @returns its exit code, null when a signal ended it.
 */
export async function runBuildx(
  options: BuildxOptions,
  dockerHost: string,
  signal: AbortSignal,
  onMessage: (message: BuildMessage) => void,
): Promise<number | null> {
  signal.throwIfAborted();
  // Its own group: the command line runs the plugin as a child, and both must go.
  const child = spawn('docker', buildxArguments(options), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: commandEnvironment(dockerHost),
    detached: true,
  });
  const signalGroup = (name: 'SIGTERM' | 'SIGKILL'): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // Already gone.
    }
  };
  let killTimer: NodeJS.Timeout | null = null;
  const onAbort = (): void => {
    signalGroup('SIGTERM');
    killTimer = setTimeout(() => signalGroup('SIGKILL'), killAfterMs);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.trim() !== '') onMessage(parseRawJsonLine(line));
      });
    }
    return await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code));
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (killTimer !== null) clearTimeout(killTimer);
  }
}

/** A selected docker context must not send the build to another daemon than the one that runs the containers. */
function commandEnvironment(dockerHost: string): NodeJS.ProcessEnv {
  return { ...process.env, DOCKER_HOST: dockerHost };
}
