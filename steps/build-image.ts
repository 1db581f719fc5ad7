import { existsSync } from 'node:fs';
import path from 'node:path';
import type { ContainerHost } from '../docker/container-host.js';
import type { StepResult } from '../results-schema/step-result.js';
import { resolveImage } from './resolve-image.js';
import { defineSettings, type SettingValues } from './settings.js';
import { defineStep, type StepContext } from './step.js';

const settings = defineSettings({
  LMCACHE_DIR: {
    type: 'path',
    default: null,
    defaultText: 'the working directory, if it is an LMCache checkout',
    description: 'The LMCache checkout whose docker/Dockerfile is built.',
  },
  IMAGE: {
    type: 'text',
    default: null,
    defaultText: 'built: lmcache/vllm-openai:test, or the simulator',
    pattern: /^[^\s]+$/,
    patternText: 'an image reference such as lmcache/vllm-openai:latest',
    description: 'A ready image for all three containers; nothing is built then, and it is pulled if need be.',
  },
  CUDA_VERSION: { type: 'text', default: '12.8', description: 'Build argument of the image: CUDA version.' },
  UBUNTU_VERSION: { type: 'text', default: '24.04', description: 'Build argument of the image: Ubuntu version.' },
  VLLM_VERSION: {
    type: 'text',
    default: 'nightly',
    description: 'Build argument of the image: vLLM version, or nightly.',
  },
});

export type BuildImageSettings = SettingValues<typeof settings>;
type Context = StepContext<BuildImageSettings>;

/** Makes sure that the run's image is on the daemon's machine: given, simulated or built. */
export const step = defineStep({
  name: 'build-image',
  title: 'Build image',
  kind: 'setup',
  settings,
  async run(context) {
    const { run } = context;
    if (run.runtime !== 'docker') {
      return { outcome: 'skipped', why: `no container is launched (RUNTIME=${run.runtime})` };
    }
    // Read while Docker's client is loaded; what is wrong with it is told when it is needed.
    resolveImage(context.settings, run).catch(() => undefined);
    const { openContainerHost } = await import('../docker/client.js');
    return await provideImage(context, openContainerHost);
  },
});

/** The step with its daemon. What Docker refuses is a result; anything else is thrown. */
export async function provideImage(context: Context, openHost: () => ContainerHost): Promise<StepResult> {
  try {
    return await provide(context, openHost());
  } catch (error) {
    const { dockerFailure } = await import('./docker-failure.js');
    return dockerFailure(error);
  }
}

async function provide(context: Context, host: ContainerHost): Promise<StepResult> {
  await host.ping(context.signal);
  const choice = await resolveImage(context.settings, context.run);
  const make = await import('./make-image.js');
  if (choice.source === 'given') return await make.pullIfMissing(context, host, choice.reference);
  if (choice.source === 'simulator') return await make.buildSimulator(context, host, choice.content);
  const checkout = findCheckout(context.settings.LMCACHE_DIR);
  return 'problem' in checkout
    ? {
        outcome: 'failed',
        reason: 'configuration',
        cause: 'bad-value',
        message: checkout.problem,
        evidence: [],
        verdicts: [],
      }
    : await make.buildLmcache(context, host, choice.reference, checkout.directory);
}

function findCheckout(given: string | null): { readonly directory: string } | { readonly problem: string } {
  const directory = given ?? process.cwd();
  const hasDockerfile = existsSync(path.join(directory, 'docker', 'Dockerfile'));
  if (given !== null) {
    if (hasDockerfile) return { directory };
    return { problem: `LMCACHE_DIR "${given}" has no docker/Dockerfile: set it to the root of an LMCache checkout.` };
  }
  if (hasDockerfile && existsSync(path.join(directory, 'lmcache'))) return { directory };
  return {
    problem:
      'No image to test: set LMCACHE_DIR to an LMCache checkout to build its docker/Dockerfile, or IMAGE to a ready ' +
      'image (IMAGE=lmcache/vllm-openai:latest-nightly), or ENGINE=sim for the simulator. ' +
      `The working directory "${directory}" is not an LMCache checkout.`,
  };
}
