import { MeasuringClient } from './measuring-client.js';
import { reportProgress } from './progress.js';
import type { RequestRecord } from './request.js';
import type { SimulatedBy, Target, WorkloadOptions } from './target.js';

export interface CompletionsOptions {
  readonly maxTokens: number;
  /** Requests in flight at once. */
  readonly concurrency: number;
  /** Default 0: greedy. */
  readonly temperature?: number;
  readonly stop?: readonly string[];
  readonly seed?: number;
  /** /v1/chat/completions with one user message each; default false: /v1/completions. */
  readonly chat?: boolean;
  /** Merged over each body. */
  readonly extraBody?: Readonly<Record<string, unknown>>;
  /** Limit of each request in seconds of the server's time; default 1 hour. */
  readonly requestTimeoutSeconds?: number;
}

export interface CompletionsResult {
  /** One a prompt, in the order of the prompts; the answers are their `text`. Nothing is retried. */
  readonly records: readonly RequestRecord[];
  readonly durationSeconds: number;
  readonly simulated: SimulatedBy | null;
  readonly interrupted: boolean;
}

/**
 * Generates a text for each prompt.
 * An abort resolves with what there is, marked `interrupted`.
 * @throws ServerUnreachableError when the server does not answer before the first prompt.
 */
export async function completePrompts(
  target: Target,
  prompts: readonly string[],
  options: CompletionsOptions & WorkloadOptions,
): Promise<CompletionsResult> {
  const client = await MeasuringClient.connect(target, options.signal);
  try {
    const path = options.chat ? '/v1/chat/completions' : '/v1/completions';
    const requests = prompts.map((prompt) =>
      client.prepare(
        path,
        {
          model: target.model,
          ...(options.chat ? { messages: [{ role: 'user', content: prompt }] } : { prompt }),
          max_tokens: options.maxTokens,
          temperature: options.temperature ?? 0,
          ...(options.stop === undefined ? {} : { stop: options.stop }),
          ...(options.seed === undefined ? {} : { seed: options.seed }),
          stream: true,
          stream_options: { include_usage: true },
          ...options.extraBody,
        },
        { expectedTokens: options.maxTokens },
      ),
    );
    const round = await client.run(requests, {
      maxInFlight: options.concurrency,
      requestTimeoutSeconds: options.requestTimeoutSeconds ?? 3600,
      signal: options.signal,
      onRecord: reportProgress(options, 'completions', prompts.length),
    });
    return {
      records: round.records,
      durationSeconds: round.durationSeconds,
      simulated: client.simulated,
      interrupted: round.interrupted,
    };
  } finally {
    client.close();
  }
}
