import { describeOutcome } from '../request.js';
import { complete, type RecordingSession, settle } from './recording-session.js';

/** The answer to one of the prompts of a batch. */
export interface DecodeRow {
  readonly batch: number;
  readonly stream: number;
  readonly promptTokens: number;
  /** Milliseconds of the server's time since the batch was sent, one for each token. */
  readonly tokenTimesMs: readonly number[];
}

export interface DecodeOptions {
  /** Requests at once, one batch after the other. */
  readonly batches: readonly number[];
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Called with a batch in which every stream is complete. */
  onBatch(batch: number, rows: readonly DecodeRow[]): void;
}

/**
 * Batches of new prompts sent at once, each answered with so many tokens.
 * @returns what went wrong with each batch that is not complete
 * @throws the signal's reason when aborted
 */
export async function recordDecode(session: RecordingSession, options: DecodeOptions): Promise<readonly string[]> {
  const { batches, promptTokens, outputTokens } = options;
  const problems: string[] = [];
  for (const [index, batch] of batches.entries()) {
    const prompts: string[] = [];
    while (prompts.length < batch) prompts.push(await session.prompts.text(promptTokens));
    await settle(session);
    const requests = prompts.map((prompt) => ({ prompt, maxTokens: outputTokens }));
    const { records } = await complete(session, requests);
    session.signal.throwIfAborted();
    const broken = records.find(({ outcome }) => outcome.state === 'failed');
    if (broken !== undefined) problems.push(`batch ${batch}: ${describeOutcome(broken.outcome)}`);
    else {
      const sentAt = Math.min(...records.map((record) => record.sentAt ?? 0));
      options.onBatch(
        batch,
        records.map((record) => ({
          batch,
          stream: record.index,
          promptTokens: record.promptTokens ?? promptTokens,
          tokenTimesMs: Array.from(record.tokenTimes, (at) => (at - sentAt) * 1000),
        })),
      );
    }
    session.onProgress({
      phase: 'decode batches',
      done: index + 1,
      total: batches.length,
      failed: problems.length,
      inFlight: 0,
      figures: {},
    });
  }
  return problems;
}
