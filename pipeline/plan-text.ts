import { isEngineVariable } from '../engines/engine-variables.js';
import type { LaunchSpec } from '../engines/launch-spec.js';
import type { ReservedGpu } from '../engines/live-run.js';
import { painter, wantsColor } from '../report/colors.js';
import { textTable } from '../report/text-table.js';
import type { CommonSettings } from '../steps/common-settings.js';
import type { LaunchSettings } from '../steps/launch-settings.js';
import { planLaunch } from '../steps/plan-launch.js';
import { resolveImage } from '../steps/resolve-image.js';
import type { Step } from '../steps/step.js';
import { flagName } from './config/definitions.js';
import { type RunPlan, settingValues } from './run-plan.js';
import { runHeader } from './summary.js';

/** What `--dry-run` prints: steps, engines with their command lines, settings with their origin. Nothing is started. */
export async function describePlan(plan: RunPlan, steps: readonly Step[]): Promise<string> {
  const color = wantsColor(process.env, process.stdout);
  const paint = painter(color);
  const stepLines = steps.map(({ name, title }, index) => `  ${index + 1}. ${name.padEnd(18)} ${title}`);
  const launches = steps.some(({ name }) => name === 'launch-containers');
  return [
    ...runHeader(plan, plan.resultsDir, color),
    paint.bold('Steps'),
    ...stepLines,
    ...(launches ? ['', paint.bold('Engines'), ...(await engineLines(plan))] : []),
    '',
    paint.bold('Settings'),
    settingsTable(plan, steps),
    '',
    'Dry run: nothing was started.',
  ].join('\n');
}

async function engineLines(plan: RunPlan): Promise<string[]> {
  const { facts } = plan;
  const { runtime } = facts;
  if (runtime === 'external') return ['  none is launched: RUNTIME=external'];
  // Parsed and complete, as in stepContext.
  const settings = settingValues(plan.settings) as unknown as CommonSettings &
    LaunchSettings & { IMAGE: string | null };
  const image = runtime === 'docker' ? (await resolveImage(settings, facts)).reference : '';
  const gpus = facts.engine === 'vllm' ? ([unchosenGpu(0), unchosenGpu(1)] as const) : null;
  const specs = planLaunch(settings, { ...facts, runtime }, { image, gpus });
  const note = gpus
    ? ['  GPUs are chosen at launch; 0.5 of their memory is taken where a card has more than 90 GB.']
    : [];
  return [...note, ...specs.flatMap((spec) => (runtime === 'docker' ? containerLines(spec) : processLines(spec)))];
}

function unchosenGpu(index: number): ReservedGpu {
  return {
    index,
    uuid: `<GPU ${index}, chosen at launch>`,
    name: 'chosen at launch',
    memoryTotalMiB: 0,
    memoryFreeMiB: 0,
  };
}

/** As a `docker run` that a person could read; the project itself talks to the daemon's API. */
function containerLines({ name, container, args, environment }: LaunchSpec): string[] {
  const { image, entrypoint, mounts, gpu } = container;
  const options = [
    '--network host --ipc host',
    ...(gpu ? [`--runtime ${gpu.runtime} --gpus ${JSON.stringify(`device=${gpu.uuids.join(',')}`)}`] : []),
    ...Object.entries(environment).map(([key, value]) => `--env ${quote(`${key}=${value}`)}`),
    ...mounts.map(({ source, target, readOnly }) => `--volume ${quote(`${source}:${target}${readOnly ? ':ro' : ''}`)}`),
    ...(entrypoint ? [`--entrypoint ${quote(entrypoint[0] ?? '')}`] : []),
  ];
  const rest = [...(entrypoint?.slice(1) ?? []), ...args].map(quote).join(' ');
  return [`  docker run --name ${name}`, ...options.map((option) => `    ${option}`), `    ${image} ${rest}`];
}

function processLines({ name, command, args, environment }: LaunchSpec): string[] {
  const variables = Object.entries(environment).map(([key, value]) => quote(`${key}=${value}`));
  return [`  ${name}:`, `    env ${variables.join(' ')}`, `    ${[...command, ...args].map(quote).join(' ')}`];
}

/** For reading and pasting into a shell; nothing here runs one. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function settingsTable(plan: RunPlan, steps: readonly Step[]): string {
  const used = new Set(steps.flatMap(({ settings }) => Object.keys(settings)));
  const everyStep = new Set(plan.settings.map(({ name }) => name).filter((name) => !used.has(name)));
  const rows = plan.settings.map(({ name, value, origin, source, definition }) => {
    const shown = value === null ? '' : String(value);
    const unit = definition.unit && shown ? ` ${definition.unit}` : '';
    const by = everyStep.has(name)
      ? ''
      : steps
          .filter(({ settings }) => name in settings)
          .map((step) => step.name)
          .join(', ');
    return [
      name,
      `${shown}${unit}`,
      source && source !== name ? `${origin} (${source})` : origin,
      by,
      isEngineVariable(name) ? '' : `--${flagName(name)}`,
    ];
  });
  return textTable([['Setting', 'Value', 'Origin', 'Read by', 'Flag'], ...rows], []);
}
