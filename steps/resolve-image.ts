import type { ImageContent } from '../simulator/image/image-context.js';
import type { RunFacts } from './step.js';
import { StepFailure } from './step-failure.js';

/** Which image the run's containers are made of, and who has to provide it. */
export type ImageChoice =
  /** IMAGE: used as it is, pulled when it is not here. */
  | { readonly source: 'given'; readonly reference: string }
  /** The simulator, built from this package; the reference names its content. */
  | { readonly source: 'simulator'; readonly reference: string; readonly content: ImageContent }
  /** Built from an LMCache checkout. */
  | { readonly source: 'lmcache-checkout'; readonly reference: string };

/** What the original suite calls the image it builds. */
const lmcacheReference = 'lmcache/vllm-openai:test';
/** By workspace: what was built is what is launched, and the sources are not read twice. */
const contents = new Map<string, Promise<ImageChoice>>();

/**
 * The image of a run, from its settings and engine alone: building and launching agree on it even in separate
 * processes. Says nothing about whether it exists.
 * @throws StepFailure when the simulator's image cannot be made here (not compiled, not Linux).
 */
export async function resolveImage(
  settings: { readonly IMAGE: string | null },
  run: Pick<RunFacts, 'engine' | 'workspace'>,
): Promise<ImageChoice> {
  if (settings.IMAGE !== null) return { source: 'given', reference: settings.IMAGE };
  if (run.engine === 'vllm') return { source: 'lmcache-checkout', reference: lmcacheReference };
  const choice = contents.get(run.workspace) ?? simulatorImage(run.workspace);
  contents.set(run.workspace, choice);
  // What is mended since may work the next time.
  choice.catch(() => contents.delete(run.workspace));
  return await choice;
}

async function simulatorImage(workspace: string): Promise<ImageChoice> {
  const { imageContent } = await import('../simulator/image/image-context.js');
  const content = await imageContent(workspace).catch((error: unknown) => {
    throw new StepFailure(
      `The simulator's image cannot be made here: ${error instanceof Error ? error.message : String(error)}`,
      { reason: 'infrastructure', failureCause: 'tool-missing', cause: error },
    );
  });
  return { source: 'simulator', reference: content.reference, content };
}
