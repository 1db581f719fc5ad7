import type { StepContext } from './step.js';
import { StepFailure } from './step-failure.js';

export interface Python {
  /** As it was called. */
  readonly command: string;
  /** Absolute path, by its own account. */
  readonly executable: string;
  /** `3.11.7`. */
  readonly version: string;
}

/** The oldest Python that the pinned lm_eval runs on. */
export const minimumPython = '3.10';

const candidates = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python'];
const question = 'import sys; print(sys.executable); print(".".join(map(str, sys.version_info[:3])))';

/** The first of these interpreters that runs and is new enough; null when there is none. */
export async function findPython(
  execute: StepContext<unknown>['execute'],
  commands: readonly string[] = candidates,
): Promise<Python | null> {
  const found = await askEach(execute, commands);
  return found.find((python) => isNewEnough(python.version)) ?? null;
}

/** @throws StepFailure `configuration`/`tool-missing`, naming the versions that were found. */
export async function requirePython(execute: StepContext<unknown>['execute']): Promise<Python> {
  const found = await askEach(execute, candidates);
  const usable = found.find((python) => isNewEnough(python.version));
  if (usable !== undefined) {
    return usable;
  }
  const seen =
    found.length === 0
      ? 'no Python was found on PATH'
      : `found only ${found.map((python) => `"${python.executable}" (${python.version})`).join(', ')}`;
  throw new StepFailure(
    `Python ${minimumPython} or newer is needed, but ${seen}. Install it (or uv), or set LM_EVAL=native.`,
    { reason: 'configuration', failureCause: 'tool-missing' },
  );
}

async function askEach(execute: StepContext<unknown>['execute'], commands: readonly string[]): Promise<Python[]> {
  const found: Python[] = [];
  for (const command of commands) {
    const result = await execute([command, '-c', question], { timeoutMs: 30_000 });
    const [executable, version] = result.stdout.trim().split('\n');
    if (result.exitCode === 0 && executable && version && /^\d+\.\d+\.\d+$/.test(version)) {
      found.push({ command, executable, version });
      if (isNewEnough(version)) {
        break;
      }
    }
  }
  return found;
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [neededMajor = 0, neededMinor = 0] = minimumPython.split('.').map(Number);
  return major > neededMajor || (major === neededMajor && minor >= neededMinor);
}
