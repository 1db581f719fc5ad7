import type { OwnedProcessResult, StepContext, StepProgress, Venv } from './step.js';
import { StepFailure } from './step-failure.js';

/** Installs a large environment in seconds where pip alone takes most of a minute. */
const uvRequirement = 'uv==0.13.9';
const installLimitMs = 15 * 60_000;

export interface PackageTools {
  /** The uv on PATH; null: there is none. */
  readonly uv: string | null;
}

interface InstallOptions {
  readonly venv: Venv;
  readonly packages: readonly string[];
  readonly tools: PackageTools;
  readonly execute: StepContext<unknown>['execute'];
  readonly progress: StepProgress;
  readonly logPath?: string;
}

/**
 * Installs packages into an environment: by the uv on PATH, else by a uv that pip puts into the
 * environment, else (an index that only pip is configured for) by pip itself.
 * @throws StepFailure that tells network, disk and unknown packages apart.
 */
export async function installPackages(options: InstallOptions): Promise<void> {
  const { venv, packages, tools } = options;
  if (packages.length === 0) {
    return;
  }
  const uvCommand = tools.uv === null ? await installUv(options) : [tools.uv];
  if (uvCommand !== null) {
    const result = await run(options, [...uvCommand, 'pip', 'install', '--python', venv.python, ...packages]);
    if (result.exitCode === 0) {
      return;
    }
    if (!(await hasPip(options))) {
      throw describeFailure(packages, result);
    }
    options.progress.warn(`uv could not install ${packages.join(', ')}; trying pip.`);
  }
  const result = await run(options, [...pipInstall(venv), ...packages]);
  if (result.exitCode !== 0) {
    throw describeFailure(packages, result);
  }
}

async function installUv(options: InstallOptions): Promise<readonly string[] | null> {
  const result = await run(options, [...pipInstall(options.venv), uvRequirement]);
  return result.exitCode === 0 ? [options.venv.python, '-m', 'uv'] : null;
}

async function hasPip(options: InstallOptions): Promise<boolean> {
  const result = await options.execute([options.venv.python, '-m', 'pip', '--version'], { timeoutMs: 30_000 });
  return result.exitCode === 0;
}

function pipInstall(venv: Venv): readonly string[] {
  return [venv.python, '-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--retries', '3'];
}

async function run(options: InstallOptions, command: readonly string[]): Promise<OwnedProcessResult> {
  return await options.execute(command, {
    timeoutMs: installLimitMs,
    ...(options.logPath === undefined ? {} : { logPath: options.logPath }),
    onLine: (line) => {
      if (/^(Collecting|Downloading|Installing|Resolved|Prepared|Installed|Building)\b/.test(line.trim())) {
        options.progress.update({ task: 'virtual environment', figures: line.trim().slice(0, 80) });
      }
    },
  });
}

const networkTrouble =
  /temporary failure in name resolution|failed to (resolve|fetch|establish)|name or service not known|dns error|connection (refused|reset|aborted|timed out)|newconnectionerror|max retries exceeded|network is unreachable|error sending request|tcp connect|timed? ?out|proxyerror|sslerror|certificate|could not fetch|http(s)? error: ?5\d\d|status (client|server) error/i;

function describeFailure(packages: readonly string[], result: OwnedProcessResult): StepFailure {
  const output = `${result.stdout}\n${result.stderr}`;
  const evidence = output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-20);
  const wanted = packages.join(', ');
  if (/no space left on device/i.test(output)) {
    return new StepFailure(`No space left while installing ${wanted}. Free some, or move VENV_DIR.`, {
      reason: 'infrastructure',
      failureCause: 'disk',
      evidence,
    });
  }
  if (result.timedOut) {
    return new StepFailure(`Installing ${wanted} took longer than ${installLimitMs / 60_000} minutes.`, {
      reason: 'infrastructure',
      failureCause: 'timeout',
      evidence,
    });
  }
  if (networkTrouble.test(output)) {
    return new StepFailure(
      `The Python package index could not be reached to install ${wanted}. Check the network, the proxy or PIP_INDEX_URL.`,
      { reason: 'infrastructure', failureCause: 'tool-missing', evidence },
    );
  }
  if (
    /no matching distribution|no solution found|not found in the package registry|invalid requirement/i.test(output)
  ) {
    return new StepFailure(`There is no such package or version among ${wanted} for this Python.`, {
      reason: 'configuration',
      failureCause: 'bad-value',
      evidence,
    });
  }
  return new StepFailure(`Installing ${wanted} failed with exit code ${result.exitCode ?? 'none'}.`, {
    reason: 'infrastructure',
    failureCause: 'tool-missing',
    evidence,
  });
}
