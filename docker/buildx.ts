import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type BuildMessage, parseRawJsonLine } from './build-messages.js';

/** `--progress=rawjson` came with buildx 0.13. */
const oldestVersion = [0, 13] as const;
const versionLimitMs = 10_000;

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
      env: { ...process.env, ...daemonOf(dockerHost) },
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
 * Starts a program as a part of the run, so that it ends with the run whatever happens to this process.
 * @throws the signal's reason when it was aborted; the program has been ended then
 */
export type RunProgram = (
  command: readonly string[],
  options: {
    readonly environment: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
    onLine(line: string): void;
  },
) => Promise<{ readonly exitCode: number | null }>;

/**
 * Runs the build to its end; every line it prints goes to `onMessage`.
 * @param signal ends the command and what it started: SIGTERM, then SIGKILL.
 * @returns its exit code, null when a signal ended it.
 */
export async function runBuildx(
  options: BuildxOptions,
  dockerHost: string,
  { execute, signal }: { readonly execute: RunProgram; readonly signal: AbortSignal },
  onMessage: (message: BuildMessage) => void,
): Promise<number | null> {
  const { exitCode } = await execute(['docker', ...buildxArguments(options)], {
    environment: daemonOf(dockerHost),
    signal,
    onLine: (line) => {
      if (line.trim() !== '') onMessage(parseRawJsonLine(line));
    },
  });
  return exitCode;
}

/** A selected docker context must not send the build to another daemon than the one that runs the containers. */
function daemonOf(dockerHost: string): Record<string, string> {
  return { DOCKER_HOST: dockerHost };
}
