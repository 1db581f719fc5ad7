import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { which } from 'zx';
import { openContainerHost } from '../docker/client.js';
import { findFreePorts } from '../engines/free-ports.js';
import { executeOwned } from '../pipeline/execute.js';
import { createResultsDirectory } from '../results-schema/results-directory-fs.js';
import { writeLocalTask } from '../steps/lm-eval/local-task.js';
import { lmEvalPackages } from '../steps/lm-eval/packages.js';
import { assetPath } from '../steps/package-root.js';
import { setupVenv } from '../steps/python-venv.js';
import { measureHelp } from './help-time.js';
import { downloadOriginalSuite, measureSuiteRun } from './original-suite.js';
import { type Figures, printReport } from './overhead-report.js';
import { type EnginePorts, measureOwnRun } from './own-run.js';
import { startPrivateDaemon } from './private-daemon.js';
import { runOrThrow } from './programs.js';
import { makeStandIns, type StandIns } from './stand-ins.js';

const usage = `Usage: npm run bench:overhead -- [--quick] [--rounds N]

What lmcache-ci costs beyond its work, beside the original bash suite on the same simulator image.
  --quick      one round with small workloads, under 3 minutes
  --rounds N   rounds at most (3); none is begun that would not end within 10 minutes
`;

/** Small enough for a quick look; what they cost is subtracted anyway. Fewer documents would fit the engine's own cache. */
const smallWorkloads = { LIMIT: '60', NUM_PROMPTS: '10', OUTPUT_LEN: '10' };
/** What is judged here is not the simulator: a slow machine must not end a run early. */
const lenientGates = { MAX_LMCACHE_TTFT: '100', MAX_LMCACHE_QUERY_ROUND_TIME: '100', MAX_SLOWDOWN_PERCENT: '90' };
/** The suites' own number of lm-eval samples. */
const lmEvalSamples = 300;
const limitSeconds = { full: 570, quick: 170 };
const simulatorLabel = 'ci.lmcache.simulator=true';
/** What the suite calls its image. */
const suiteImage = 'lmcache/vllm-openai:test';
/** Kept between benchmarks: half a gigabyte of packages. */
const venvDirectory = path.join(os.homedir(), '.cache', 'lmcache-ci', 'bench-venv');

/** Measures, prints, and leaves nothing behind. Sets process.exitCode: 1 when a bound is missed, 3 when something could not be measured. */
export async function runOverheadBenchmark(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const rounds = values.quick ? 1 : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds "${values.rounds}" is no whole number above 0.`);
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(new Error('interrupted'));
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  const limit = values.quick ? limitSeconds.quick : limitSeconds.full;
  const directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-bench-'));
  try {
    const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(limit * 1000)]);
    const figures = await measure({ directory, rounds, quick: values.quick, limitSeconds: limit, signal });
    process.exitCode = printReport(figures, (line) => process.stdout.write(`${line}\n`));
  } finally {
    await rm(directory, { recursive: true, force: true });
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

interface Scope {
  readonly directory: string;
  readonly rounds: number;
  readonly quick: boolean;
  readonly limitSeconds: number;
  readonly signal: AbortSignal;
}

async function measure(scope: Scope): Promise<Figures> {
  const { directory, signal } = scope;
  say('lmcache-ci --help beside node -e 0 ...');
  const help = measureHelp();
  const figures: Figures = { help, docker: [], process: [], suite: [], standIns: [], missing: [], quick: scope.quick };
  await makeVenv(signal);
  const home = path.join(directory, 'home');
  const environment = {
    PATH: process.env['PATH'],
    HOME: home,
    TMPDIR: directory,
    // Nobody's tokenizer: both suites ask the server.
    HF_HOME: path.join(home, '.cache', 'huggingface'),
    VENV_DIR: venvDirectory,
    ...lenientGates,
    ...(scope.quick ? smallWorkloads : {}),
  };
  say("a Docker daemon of the benchmark's own ...");
  const daemon = await startPrivateDaemon(path.join(directory, 'docker'), signal).catch((error: Error) => {
    figures.missing.push(`Docker path and original suite: ${error.message}`);
    return null;
  });
  try {
    const docker = daemon && { ...environment, DOCKER_HOST: daemon.dockerHost };
    const suite = docker && (await prepareSuite(scope, docker, figures));
    await runRounds(scope, figures, async (round) => {
      const ports = await freePorts();
      if (docker) {
        say(`round ${round}: lmcache-ci on Docker ...`);
        const resultsDir = path.join(directory, `docker-${round}`);
        figures.docker.push(await measureOwnRun({ runtime: 'docker', resultsDir, ports, environment: docker, signal }));
      }
      if (suite && docker) {
        say(`round ${round}: the original suite ...`);
        figures.suite.push(await measureSuite(suite, docker, { round, ports, scope }));
      }
      say(`round ${round}: lmcache-ci with processes ...`);
      const resultsDir = path.join(directory, `process-${round}`);
      figures.process.push(await measureOwnRun({ runtime: 'process', resultsDir, ports, environment, signal }));
    });
    return figures;
  } finally {
    await daemon?.stop();
  }
}

/** One round after the other, each with all variants, as long as the next one is likely to end in time. */
async function runRounds(scope: Scope, figures: Figures, work: (round: number) => Promise<void>): Promise<void> {
  let longestMs = 0;
  const deadline = performance.now() + scope.limitSeconds * 1000;
  for (let round = 1; round <= scope.rounds; round++) {
    const started = performance.now();
    if (started + longestMs > deadline) {
      figures.missing.push(`rounds ${round} to ${scope.rounds}: they would not have ended in time`);
      return;
    }
    try {
      await work(round);
    } catch (error) {
      if (!isTimeout(scope.signal)) throw error;
      figures.missing.push(`the rest of round ${round}: it did not end within ${scope.limitSeconds} s`);
      return;
    }
    longestMs = Math.max(longestMs, performance.now() - started);
  }
}

function isTimeout(signal: AbortSignal): boolean {
  return signal.aborted && signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
}

interface Suite {
  readonly root: string;
  readonly standIns: StandIns;
}

/** The simulator's image in the daemon, the suite, and what it needs. */
async function prepareSuite(
  { directory, signal }: Scope,
  environment: Readonly<Record<string, string | undefined>>,
  figures: Figures,
): Promise<Suite | null> {
  const step = [process.execPath, assetPath('pipeline', 'lmcache-ci.mjs'), 'step', 'build-image'];
  const resultsDir = path.join(directory, 'build');
  say("the simulator's image ...");
  await runOrThrow(step, {
    environment: { ...environment, ENGINE: 'sim', RUNTIME: 'docker', RESULTS_DIR: resultsDir },
    signal,
  });
  try {
    const docker = await which('docker', { nothrow: true });
    if (!docker) throw new Error('the command docker is not on PATH.');
    const [image] = await openContainerHost({
      socketPath: String(environment['DOCKER_HOST']).replace('unix://', ''),
    }).listImages(simulatorLabel);
    await runOrThrow([docker, 'tag', image?.tags[0] ?? '', suiteImage], { environment, signal });
    say('the original suite, from PyPI ...');
    const root = await downloadOriginalSuite(path.join(directory, 'suite'), signal);
    const task = await createResultsDirectory(path.join(directory, 'task'), {
      buildId: 'bench',
      isLive: () => Promise.resolve(false),
    });
    const { directory: taskDirectory } = await writeLocalTask(task, lmEvalSamples);
    const standIns = await makeStandIns({
      directory: path.join(directory, 'stand-ins'),
      realVenv: venvDirectory,
      taskDirectory,
      docker,
    });
    figures.standIns.push(...standIns.list);
    return { root, standIns };
  } catch (error) {
    signal.throwIfAborted();
    figures.missing.push(`original suite: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

function measureSuite(
  { root, standIns }: Suite,
  environment: Readonly<Record<string, string | undefined>>,
  { round, ports, scope }: { readonly round: number; readonly ports: EnginePorts; readonly scope: Scope },
) {
  return measureSuiteRun({
    suiteRoot: root,
    ports,
    signal: scope.signal,
    environment: {
      ...environment,
      PATH: `${standIns.binDirectory}:${environment['PATH'] ?? ''}`,
      VENV_DIR: standIns.venvDirectory,
      RESULTS_DIR: path.join(scope.directory, `suite-${round}`),
      BUILD_ID: `bench_suite_${round}_${process.pid}`,
    },
  });
}

async function makeVenv(signal: AbortSignal): Promise<void> {
  await setupVenv({
    directory: venvDirectory,
    packages: [...lmEvalPackages, 'openai', 'pandas'],
    signal,
    progress: { log: say, warn: say, update: () => {} },
    execute: (command, options) => executeOwned(command, { ...options, signal, owner: null }),
  });
}

async function freePorts(): Promise<EnginePorts> {
  const [vllm = 0, baseline = 0, lmcache = 0, lmcacheHttp = 0] = await findFreePorts(4);
  return { vllm, baseline, lmcache, lmcacheHttp };
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
