import { access } from 'node:fs/promises';
import type { LaunchOptions } from '../engines/launch-specs.js';
import { step as buildImageStep } from './build-image.js';
import { type LaunchSettings, launchSettings } from './launch-settings.js';
import { planLaunch } from './plan-launch.js';
import { resolveImage } from './resolve-image.js';
import { defineSettings, type SettingValues } from './settings.js';
import { defineStep, type StepContext } from './step.js';
import { StepFailure } from './step-failure.js';

const settings = defineSettings({ ...launchSettings, IMAGE: buildImageStep.settings.IMAGE });
type Context = StepContext<SettingValues<typeof settings>>;

/** Starts the LMCache server and both engines, side by side. Whether they serve is the next step's question. */
export const step = defineStep({
  name: 'launch-containers',
  title: 'Launch containers',
  kind: 'setup',
  settings,
  async run(context) {
    const { run, fleet, progress } = context;
    const { runtime } = run;
    if (runtime === 'external') {
      return { outcome: 'skipped', why: 'the servers run already (RUNTIME=external): nothing is launched' };
    }
    await checkToken(context, runtime);
    const gpus = run.engine === 'vllm' ? await reserveGpus(context) : null;
    const image = runtime === 'docker' ? (await resolveImage(context.settings, run)).reference : '';
    const specs = planLaunch(context.settings, { ...run, runtime }, { image, gpus });
    progress.update({ task: `starting ${specs.map((spec) => spec.name).join(', ')}` });
    await fleet.launch(specs, context.signal);
    if (run.engine === 'sim') {
      progress.log(
        `Simulated: the profile "${context.settings.SIM_PROFILE}" decides the kernels, BATCH_INVARIANT changes nothing here.`,
      );
    }
    for (const spec of specs) progress.log(`${spec.name}: ports ${spec.ports.join(', ')}, log logs/${spec.name}.log`);
    return { outcome: 'passed', verdicts: [], message: `${specs.length} engines started (${runtime})` };
  },
});

async function reserveGpus({ fleet, settings: values, progress, signal }: Context): Promise<LaunchOptions['gpus']> {
  const limits = launchLimits(values);
  const [first, second] = await fleet.reserveGpus({
    ...limits,
    signal,
    onWaiting: (lines) => {
      progress.update({ task: 'waiting for two free GPUs', figures: lines.join(' | ') });
    },
  });
  if (!first || !second) throw new Error('The fleet reserved fewer than two GPUs without saying why');
  progress.log(`GPU ${first.index} (${first.name}) for LMCache and its vLLM, GPU ${second.index} for the baseline`);
  return [first, second];
}

function launchLimits(values: LaunchSettings) {
  return {
    count: 2,
    minFreeMiB: values.MIN_FREE_GPU_MIB,
    maxUtilizationPercent: values.MAX_GPU_UTILIZATION,
    waitMs: values.GPU_WAIT_SECONDS * 1000,
  };
}

/** Docker would make a directory of a missing file, and the engine would say no more than 401. */
async function checkToken({ settings: values, progress }: Context, runtime: 'docker' | 'process'): Promise<void> {
  const file = values.HF_TOKEN_PATH;
  if (file !== null) {
    await access(file).catch((error: unknown) => {
      throw new StepFailure(`HF_TOKEN_PATH "${file}" cannot be read; set it to a file with a Hugging Face token.`, {
        reason: 'configuration',
        failureCause: 'bad-value',
        cause: error,
      });
    });
  } else if (runtime === 'docker' && process.env['HF_TOKEN']) {
    progress.warn(
      'HF_TOKEN is not handed to containers, where everyone could read it: put the token in a file and set HF_TOKEN_PATH.',
    );
  }
}
