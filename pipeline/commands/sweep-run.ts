import { createHash } from 'node:crypto';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BuildIdTakenError, EngineStartError } from '../../engines/errors.js';
import { findFreePorts } from '../../engines/free-ports.js';
import { createFleet } from '../../engines/live-fleet.js';
import type { ReservedGpu } from '../../engines/live-run.js';
import type { RunFleet } from '../../engines/run-fleet.js';
import { runId } from '../../experiments/engine-host.js';
import { estimateSeconds } from '../../experiments/sweep/estimate.js';
import type { ExperimentContext } from '../../experiments/sweep/run-experiment.js';
import { type SweepJob, SweepRun } from '../../experiments/sweep/run-sweep.js';
import { parseShellPrefix } from '../../experiments/sweep/shell-prefix.js';
import { pendingExperiments, SummaryStore, totalsOf } from '../../experiments/sweep/summary-store.js';
import {
  createSweepDirectory,
  findEarlierSweep,
  SweepDirectoryError,
} from '../../experiments/sweep/sweep-directory.js';
import { countOf } from '../../report/numbers.js';
import { openResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { type SweepSummary, sweepSummarySchemaVersion } from '../../results-schema/sweep-summary.js';
import { raisePriority } from '../../simulator/priority.js';
import { rehearse } from '../../workloads/rehearsal.js';
import { listenForInterruption } from '../interruption.js';
import { packageVersion } from '../package-version.js';
import { NoVerdictError, UsageError } from '../usage-error.js';
import type { ExperimentSettings } from './experiments-settings.js';
import { finishSweep } from './sweep-end.js';
import { reserveSweepGpus, untilFreed } from './sweep-gpus.js';
import type { PlannedSweep, SweepPlan } from './sweep-plan.js';
import { simulatedGpuCount } from './sweep-settings.js';
import { SweepView } from './sweep-view.js';

/** A keeper needs some seconds to end the servers of a sweep that was killed. */
const cleanUpLimitMs = 20_000;
const lookAgainMs = 200;

export interface SweepFlags {
  /** 0: all. */
  readonly gpus: number;
  readonly resume: boolean;
  readonly retryFailed: boolean;
}

/** Runs what is planned. @returns the exit code. */
export async function runSweeps(plan: SweepPlan, settings: ExperimentSettings, flags: SweepFlags): Promise<number> {
  const { launch } = settings;
  const stores = await Promise.all(plan.sweeps.map((sweep) => openStore(sweep, plan, settings, flags)));
  const view = new SweepView(process.stdout);
  for (const line of headerLines(plan, settings, stores)) view.line(line);
  const interruption = listenForInterruption((name, first) => {
    view.line(first ? `${name}: ending all servers; --resume goes on from here ...` : 'still ending, please wait ...');
  });
  const { signal } = interruption;
  const id = runId('sweep');
  let fleet: RunFleet | null = null;
  try {
    fleet = await openFleet(stores[0]?.root ?? process.cwd(), settings, signal);
    // The directory is ours alone from here on.
    for (const store of flags.resume ? stores : []) store.reload();
    const widest = Math.max(1, ...plan.sweeps.flatMap(({ grid }) => grid.map(({ gpus }) => gpus)));
    const cards =
      launch.engine === 'sim' ? null : await reserveSweepGpus(fleet, flags.gpus, widest, settings, view, signal);
    const gpuCount = cards?.length ?? simulatedGpuCount(flags.gpus, widest);
    if (launch.engine === 'sim') raisePriority();
    // The client's own code is slow the first time.
    await rehearse(signal);
    const common = { fleet, runId: id, cards, signal, view };
    const jobs = plan.sweeps.flatMap((sweep, index) => {
      const store = stores[index];
      return store === undefined ? [] : jobsOf(sweep, store, plan, settings, flags, common);
    });
    const run = new SweepRun(jobs, { gpuCount, signal, observer: view });
    view.line(
      `${countOf(jobs.length, 'experiment')} on ${countOf(gpuCount, cards === null ? 'simulated GPU' : 'GPU')}`,
    );
    view.begin(() => run.state);
    await run.run();
  } catch (error) {
    if (!signal.aborted && error instanceof EngineStartError) {
      const evidence = error.evidence.map((line) => `\n    ${line}`).join('');
      throw new NoVerdictError(`${error.message}${evidence}`);
    }
    if (!signal.aborted) throw error;
  } finally {
    view.end();
    const report = await fleet?.release();
    for (const problem of report?.problems ?? []) view.line(`warning: ${problem}`);
    interruption.dispose();
  }
  return finishSweep(stores, view, interruption.interruptedBy());
}

/**
 * One sweep at a time writes to a directory: its run is named by it. A sweep that was killed a moment ago may still be
 * cleaned up.
 * @throws UsageError
 */
async function openFleet(directory: string, { launch }: ExperimentSettings, signal: AbortSignal): Promise<RunFleet> {
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  const deadline = performance.now() + cleanUpLimitMs;
  for (;;) {
    try {
      return await createFleet({
        buildId: `sweep-${name}`,
        engine: launch.engine,
        runtime: launch.runtime,
        resultsDir: directory,
        ports: {},
        joinable: false,
        settings: launch.hfTokenPath === null ? {} : { HF_TOKEN_PATH: launch.hfTokenPath },
      });
    } catch (error) {
      if (!(error instanceof BuildIdTakenError)) throw error;
      if (performance.now() > deadline) {
        throw new UsageError(
          `Another sweep writes to "${directory}": wait for its end, or end it. Nothing was started.`,
        );
      }
      await delay(lookAgainMs, undefined, { signal });
    }
  }
}

function jobsOf(
  { grid }: PlannedSweep,
  store: SummaryStore,
  plan: SweepPlan,
  settings: ExperimentSettings,
  flags: SweepFlags,
  common: {
    readonly fleet: RunFleet;
    readonly runId: string;
    readonly cards: readonly ReservedGpu[] | null;
    readonly signal: AbortSignal;
    readonly view: SweepView;
  },
): SweepJob[] {
  const { launch, readySeconds } = settings;
  const context: ExperimentContext = {
    ...common,
    setup: { ...launch, variables: parseShellPrefix(plan.environment.shellCommandPrefix) },
    directory: store.root,
    readyPattern: new RegExp(plan.environment.serverReadyPattern),
    readySeconds,
    openDataset: plan.openDataset,
    untilFreed: (cards) => untilFreed(cards, common.view),
    onVersion: (version) => store.noteVersion(version),
    findPort: async () => (await findFreePorts(1))[0] ?? 0,
  };
  return grid.flatMap((experiment): SweepJob[] => {
    const before = store.resultOf(experiment.name);
    const isWanted = before.outcome === 'pending' || (before.outcome === 'failed' && flags.retryFailed);
    if (!isWanted) return [];
    const attempt = before.outcome === 'failed' ? before.attempt + 1 : 1;
    const estimatedSeconds = estimateSeconds(experiment.configuration, launch.simulator?.speed ?? null);
    return [{ experiment, store, context, attempt, gpus: experiment.gpus, estimatedSeconds }];
  });
}

/** A new directory with its summary, or the one that is gone on with. @throws UsageError */
async function openStore(
  { definition, grid, gridSize }: PlannedSweep,
  plan: SweepPlan,
  { launch }: ExperimentSettings,
  flags: SweepFlags,
): Promise<SummaryStore> {
  const { environment, shard } = plan;
  try {
    const earlier = flags.resume ? findEarlierSweep(definition, grid, shard) : null;
    if (earlier !== null) {
      checkSameEngine(earlier.summary, launch.engine, earlier.directory);
      return new SummaryStore(await openResultsDirectory(earlier.directory), earlier.summary);
    }
    const now = new Date();
    const root = createSweepDirectory(definition.logBaseDir, definition.tag, shard, now);
    const experiments = pendingExperiments(grid);
    const store = new SummaryStore(await openResultsDirectory(root), {
      schemaVersion: sweepSummarySchemaVersion,
      tag: definition.tag,
      createdAt: now.toISOString(),
      updatedAt: now.toISOString(),
      versions: { lmcacheCi: packageVersion(), node: process.version, vllm: null },
      definition: {
        file: definition.file === null ? null : path.resolve(definition.file),
        document: definition.document,
      },
      engine: launch.engine,
      simulated:
        launch.simulator === null ? null : { profile: launch.simulator.profile, speed: launch.simulator.speed },
      environment: environment.name,
      shard,
      gridSize,
      experiments,
      totals: totalsOf(experiments),
    });
    await store.write();
    return store;
  } catch (error) {
    if (error instanceof SweepDirectoryError) throw new UsageError(`${error.message} Nothing was started.`);
    throw error;
  }
}

function checkSameEngine(summary: SweepSummary, engine: 'vllm' | 'sim', directory: string): void {
  if (summary.engine === engine) return;
  throw new UsageError(
    `"${directory}" was measured with ENGINE=${summary.engine}, and this is ENGINE=${engine}: figures of the two do not ` +
      'mix. Start anew without --resume. Nothing was started.',
  );
}

function headerLines(
  plan: SweepPlan,
  { launch, simulatedBecause }: ExperimentSettings,
  stores: readonly SummaryStore[],
) {
  const simulated =
    launch.simulator === null
      ? []
      : [
          `SIMULATED (profile "${launch.simulator.profile}", speed x${launch.simulator.speed}): no GPU is used, times are modelled`,
          ...(simulatedBecause === null ? [] : [`  because ${simulatedBecause}`]),
        ];
  const documents = plan.sweeps.length > 1 ? [`${plan.sweeps.length} documents, all of them run`] : [];
  const directories = stores.map(({ root, summary }) => {
    const { successful, failed } = summary.totals;
    const done = successful + failed > 0 ? `, ${successful} successful and ${failed} failed before` : '';
    return `${summary.tag}: ${countOf(summary.experiments.length, 'experiment')}${done}, results in ${root}`;
  });
  const shard = plan.shard === null ? [] : [`shard ${plan.shard.index} of ${plan.shard.of}`];
  return [...simulated, `environment ${plan.environment.name}`, ...documents, ...shard, ...directories];
}
