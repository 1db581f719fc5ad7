import { estimateSeconds } from '../../experiments/sweep/estimate.js';
import type { PlannedExperiment } from '../../experiments/sweep/grid.js';
import { estimateMakespan } from '../../experiments/sweep/scheduler.js';
import { serverSpec } from '../../experiments/sweep/server-spec.js';
import { parseShellPrefix } from '../../experiments/sweep/shell-prefix.js';
import { countOf, formatDuration } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import type { ExperimentSettings } from './experiments-settings.js';
import type { SweepPlan } from './sweep-plan.js';
import { simulatedGpuCount } from './sweep-settings.js';

const examplePort = 8000;

/** The grid, the servers' command lines and the time it will take. @param gpus as asked for, 0: all */
export function describeSweeps(plan: SweepPlan, settings: ExperimentSettings, gpus: number): string {
  const { launch } = settings;
  const speed = launch.simulator?.speed ?? null;
  const experiments = plan.sweeps.flatMap(({ grid }) => grid);
  const widest = Math.max(1, ...experiments.map((experiment) => experiment.gpus));
  const jobs = experiments.map((experiment) => {
    return { gpus: experiment.gpus, estimatedSeconds: estimateSeconds(experiment.configuration, speed) };
  });
  const count = launch.engine === 'sim' ? simulatedGpuCount(gpus, widest) : Math.max(gpus, widest);
  const makespan = estimateMakespan(jobs, new Array<number>(count).fill(0));
  const shard = plan.shard === null ? '' : ` (shard ${plan.shard.index} of ${plan.shard.of})`;
  return [
    ...(speed === null ? [] : [`SIMULATED at speed x${speed}: no GPU is used, times are modelled`]),
    `environment ${plan.environment.name}`,
    ...plan.sweeps.flatMap(({ definition, grid }) => [
      '',
      `${definition.tag}${shard}: ${countOf(grid.length, 'experiment')} with ${definition.modelName}, in ${definition.logBaseDir}`,
      gridTable(grid),
      '',
      ...grid.map((experiment) => commandLine(experiment, plan, settings)),
    ]),
    '',
    `about ${formatDuration(makespan)} on ${countOf(count, 'GPU')}${gpus === 0 && launch.engine === 'vllm' ? ' (less where there are more)' : ''}: an estimate from time limits and request rates`,
    'Nothing was started.',
  ].join('\n');
}

function gridTable(grid: readonly PlannedExperiment[]): string {
  const head = ['experiment', 'cache GB', 'req/s', 'eviction', 'prompts', 'limit s', 'GPUs'];
  const rows = grid.map(({ name, configuration, gpus }) => [
    name,
    String(configuration.cacheSizeGb),
    String(configuration.requestRate),
    configuration.conversationEviction ? 'conversation' : 'LRU',
    String(configuration.numPrompts),
    String(configuration.timeLimitSeconds),
    String(gpus),
  ]);
  return textTable([head, ...rows], [1, 2, 4, 5, 6]);
}

/** As one would type it; ports and GPUs are chosen when it starts. */
function commandLine(experiment: PlannedExperiment, plan: SweepPlan, { launch }: ExperimentSettings): string {
  const numbers = Array.from({ length: experiment.gpus }, (_, gpu) => gpu);
  const place = { runId: 'sweep', port: examplePort, gpus: null, numbers, logFile: '', tried: 1 };
  const setup = { ...launch, variables: parseShellPrefix(plan.environment.shellCommandPrefix) };
  const { environment, command, args } = serverSpec(experiment, place, setup);
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${shellQuoted(value)}`);
  return [...variables, ...[...command, ...args].map(shellQuoted)].join(' ');
}

function shellQuoted(text: string): string {
  return /^[\w./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
