import type { GeneratorInput, Workload } from '../terms.js';
import { indexedQuestion, timestamps } from './schedule.js';

const defaultMaxTokens = 200;

/** What of the model's length question and answer leave to the context, in tokens. */
export function longestContext({ configuration, maxModelLength }: GeneratorInput): number {
  return maxModelLength - configuration.queryLength - maxTokensOf(configuration);
}

/** Requests that do not wait for each other, each with a question of its own behind its context. */
export function singleRequests(
  { configuration, tokensPerWord }: GeneratorInput,
  contextOf: (index: number) => { readonly context: string; readonly contextLength: number },
): Workload {
  const { queryLength } = configuration;
  return {
    requests: timestamps(configuration).map((timestamp, index) => ({
      timestamp,
      ...contextOf(index),
      question: indexedQuestion(index, queryLength, tokensPerWord),
      queryLength,
      maxTokens: maxTokensOf(configuration),
    })),
  };
}

function maxTokensOf({ maxTokens = defaultMaxTokens }: GeneratorInput['configuration']): number {
  return maxTokens;
}
