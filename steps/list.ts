import type { Step } from './step.js';

/** One line of the pipeline: what is known of a step before its code is loaded. */
export interface StepEntry {
  readonly name: string;
  /** The file beside this one that runs it alone: `npx zx steps/<script>.mjs`. */
  readonly script: string;
  load(): Promise<{ readonly step: Step }>;
}

/** The pipeline, in order. A new test is one entry here, its module and its `.mjs`. */
export const stepList: readonly StepEntry[] = [
  { name: 'build-image', script: 'build-mp-docker-image', load: () => import('./build-image.js') },
  { name: 'launch-containers', script: 'launch-containers', load: () => import('./launch-containers.js') },
  { name: 'wait-for-vllm', script: 'wait-for-vllm', load: () => import('./wait-for-vllm.js') },
  { name: 'lm-eval', script: 'run-lm-eval', load: () => import('./run-lm-eval.js') },
  { name: 'vllm-bench', script: 'run-vllm-bench', load: () => import('./run-vllm-bench.js') },
  { name: 'long-doc-qa', script: 'run-long-doc-qa', load: () => import('./run-long-doc-qa.js') },
  { name: 'cleanup', script: 'cleanup', load: () => import('./cleanup.js') },
];
