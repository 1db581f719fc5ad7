import { mkdtempSync, rmdirSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { withFileLock } from '../engines/file-lock.js';
import { isDiskFull } from '../results-schema/disk-full.js';
import { makeFolder } from '../results-schema/make-folder.js';
import { writeWhole } from '../results-schema/whole-file.js';
import { findPython, type Python, requirePython } from './python-interpreter.js';
import { installPackages, type PackageTools } from './python-packages.js';
import type { StepContext, StepProgress, Venv } from './step.js';
import { StepFailure } from './step-failure.js';

/** What the environment was made of; lies inside it. */
const stampName = '.lmcache-ci-venv.json';
const stampSchema = z.object({
  /** `building`: whoever finds it while nobody holds the lock may throw the directory away. */
  state: z.enum(['building', 'ready']),
  /** False: the environment was there before us and is never thrown away. */
  ours: z.boolean(),
  python: z.string(),
  packages: z.array(z.string()),
});
type Stamp = z.infer<typeof stampSchema>;

export interface VenvOptions {
  /** Absolute path of the environment (VENV_DIR). */
  readonly directory: string;
  /** Requirements as pip takes them, e.g. `lm_eval[api]==0.4.13`. */
  readonly packages: readonly string[];
  readonly execute: StepContext<unknown>['execute'];
  readonly progress: StepProgress;
  readonly signal: AbortSignal;
  /** Full output of the installers is appended here. */
  readonly logPath?: string;
}

/**
 * A Python virtual environment with these packages, made once and shared: packages are added to what is
 * there, a half-made one is thrown away and made again, one that we did not make is used but never removed.
 * Made by uv where it is on PATH, else by `python3 -m venv`. Others wait behind a lock beside the directory.
 * @throws StepFailure: `configuration`/`tool-missing` without a usable Python, `infrastructure` without network.
 */
export async function setupVenv(options: VenvOptions): Promise<Venv> {
  const directory = path.resolve(options.directory);
  const present = await usableVenv(options, directory);
  if (present !== null) {
    return present;
  }
  makeRoom(directory);
  return await withFileLock(
    `${directory}.lock`,
    async () => (await usableVenv(options, directory)) ?? (await makeVenv(options, directory)),
    {
      signal: options.signal,
      // The step's own limit ends the waiting.
      limitMs: Number.POSITIVE_INFINITY,
      onWaiting: (holder) => options.progress.log(`Waiting for ${holder}, which prepares "${directory}".`),
    },
  );
}

/** null unless it is complete, has every package and its interpreter is the one it was made with. */
async function usableVenv(options: VenvOptions, directory: string): Promise<Venv | null> {
  const stamp = await readStamp(directory);
  if (stamp?.state !== 'ready' || !options.packages.every((wanted) => stamp.packages.includes(wanted))) {
    return null;
  }
  const python = await findPython(options.execute, [pythonOf(directory)]);
  return python?.version === stamp.python ? { directory, python: pythonOf(directory) } : null;
}

async function makeVenv(options: VenvOptions, directory: string): Promise<Venv> {
  const started = performance.now();
  const found = await readStamp(directory);
  const foreign = found === null ? await isForeign(directory) : !found.ours;
  const before = found?.state === 'ready' ? found.packages : [];
  const packages = mergeRequirements(before, options.packages);
  const venv: Venv = { directory, python: pythonOf(directory) };

  let python = foreign || found?.state === 'ready' ? await findPython(options.execute, [venv.python]) : null;
  let tools: PackageTools | null = null;
  if (foreign) {
    if (python === null) {
      throw new StepFailure(
        `VENV_DIR "${directory}" exists but has no working "bin/python". Remove it or choose another VENV_DIR.`,
        { reason: 'configuration', failureCause: 'bad-value' },
      );
    }
  } else if (python === null || python.version !== found?.python) {
    await rm(directory, { recursive: true, force: true });
    ({ python, tools } = await createEnvironment(options, directory));
  }
  const stamp: Stamp = { state: 'building', ours: !foreign, python: python.version, packages };
  await writeStamp(directory, stamp);
  options.progress.log(`Installing ${options.packages.join(', ')} into "${directory}" ...`);
  const missing = tools === null ? options.packages : packages;
  tools ??= { uv: await findUv(options) };
  const { execute, progress, logPath } = options;
  const log = logPath === undefined ? {} : { logPath };
  await installPackages({ venv, packages: missing, tools, execute, progress, ...log });
  await writeStamp(directory, { ...stamp, state: 'ready' });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  options.progress.log(`Virtual environment ready after ${seconds} s (Python ${python.version}).`);
  return venv;
}

/** For the environment, and the lock beside it. @throws StepFailure where nothing can be made */
function makeRoom(directory: string): void {
  const parent = path.dirname(directory);
  try {
    makeFolder(parent);
    rmdirSync(mkdtempSync(path.join(parent, '.writable-')));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `VENV_DIR "${directory}" cannot be made: ${why}. Choose another VENV_DIR.`;
    const failure = isDiskFull(error)
      ? ({ reason: 'infrastructure', failureCause: 'disk' } as const)
      : ({ reason: 'configuration', failureCause: 'bad-value' } as const);
    throw new StepFailure(message, { ...failure, cause: error });
  }
}

/** An empty environment. The stamp is there before anything else, so that an abandoned one is known as ours. */
async function createEnvironment(
  options: VenvOptions,
  directory: string,
): Promise<{ readonly python: Python; readonly tools: PackageTools }> {
  makeFolder(directory);
  await writeStamp(directory, { state: 'building', ours: true, python: '', packages: [] });
  const uv = await findUv(options);
  const base = uv === null ? await requirePython(options.execute) : await findPython(options.execute);
  options.progress.log(`Creating virtual environment "${directory}" with ${uv === null ? 'venv' : 'uv'} ...`);
  const command =
    uv === null
      ? [base?.command ?? 'python3', '-m', 'venv', directory]
      : [uv, 'venv', '--allow-existing', ...(base === null ? [] : ['--python', base.executable]), directory];
  const result = await options.execute(command, {
    timeoutMs: 300_000,
    ...(options.logPath === undefined ? {} : { logPath: options.logPath }),
  });
  const python = result.exitCode === 0 ? await findPython(options.execute, [pythonOf(directory)]) : null;
  if (python === null) {
    const output = `${result.stderr}\n${result.stdout}`.trim();
    const remedy = /ensurepip|python3-venv/.test(output)
      ? 'Install the venv module (Debian, Ubuntu: apt install python3-venv) or uv.'
      : 'Install uv, or a Python 3.10 or newer with its venv module.';
    throw new StepFailure(`"${command.join(' ')}" made no working Python environment. ${remedy}`, {
      reason: 'configuration',
      failureCause: 'tool-missing',
      evidence: output.split('\n').slice(-20),
    });
  }
  return { python, tools: { uv } };
}

async function findUv(options: VenvOptions): Promise<string | null> {
  const result = await options.execute(['uv', '--version'], { timeoutMs: 10_000 });
  return result.exitCode === 0 ? 'uv' : null;
}

/** A later requirement replaces an earlier one for the same project. */
export function mergeRequirements(before: readonly string[], added: readonly string[]): string[] {
  const names = new Set(added.map(projectName));
  return [...before.filter((requirement) => !names.has(projectName(requirement))), ...added];
}

/** The normalised project name of a requirement (PEP 503, PEP 508). */
function projectName(requirement: string): string {
  const name = /^\s*[A-Za-z0-9][A-Za-z0-9._-]*/.exec(requirement)?.[0].trim() ?? requirement;
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}

function pythonOf(directory: string): string {
  return path.join(directory, 'bin', 'python');
}

/** A directory with something in it that we did not make. @throws StepFailure when it is no environment at all. */
async function isForeign(directory: string): Promise<boolean> {
  let entries: string[];
  try {
    entries = await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return false;
    }
    throw new StepFailure(`VENV_DIR "${directory}" cannot be read. Choose another VENV_DIR.`, {
      reason: 'configuration',
      failureCause: 'bad-value',
      cause: error,
    });
  }
  if (entries.length > 0 && !entries.includes('pyvenv.cfg')) {
    throw new StepFailure(
      `VENV_DIR "${directory}" exists and is no virtual environment (no pyvenv.cfg). Choose another VENV_DIR.`,
      { reason: 'configuration', failureCause: 'bad-value' },
    );
  }
  return entries.length > 0;
}

async function readStamp(directory: string): Promise<Stamp | null> {
  try {
    return stampSchema.parse(JSON.parse(await readFile(path.join(directory, stampName), 'utf8')));
  } catch {
    return null;
  }
}

async function writeStamp(directory: string, stamp: Stamp): Promise<void> {
  await writeWhole(path.join(directory, stampName), `${JSON.stringify(stamp, null, 2)}\n`);
}
