import { describeOutcome, type RequestRecord, ttftSeconds } from '../request.js';
import { ServerAnswerError } from '../server-answer.js';
import { resetPrefixCache } from '../server-api.js';
import { type EngineTimes, UNTOLD } from './engine-watch.js';
import { complete, type RecordingSession, settle } from './recording-session.js';

/** Where a prompt's KV is: nowhere yet, in the GPU's prefix cache, in LMCache alone. */
export type SingleMode = 'cold' | 'gpu' | 'lmcache';

/** One prompt on an idle engine. Seconds of the server's time. */
export interface SingleRow {
  readonly engine: string;
  readonly length: number;
  readonly rep: number;
  readonly mode: SingleMode;
  /** First token at all, and first with text. */
  readonly firstChunk: number | null;
  readonly ttft: number | null;
  readonly promptTokens: number | null;
  readonly cachedTokens: number;
  readonly error: string;
  readonly resetOk: boolean;
  readonly engineTimes: EngineTimes;
}

export interface SinglesOptions {
  readonly lengths: readonly number[];
  readonly repetitions: number;
  /** What a prompt is sent as. */
  readonly form: 'text' | 'ids';
  onRow(row: SingleRow): void;
}

/** Fewer tokens fill no block of the GPU's cache, or no chunk of LMCache: nothing can be told by them. */
const CHUNK_TOKENS = 256;

/**
 * TTFT of single prompts on an idle engine: each new prompt cold, again from the GPU's prefix cache, and with LMCache once
 * more after the prefix cache was reset. All lengths come before the next repetition. The shortest and the longest are
 * sent once before, unrecorded: what is slow only the first time is over then, and it shows whether the caches are there.
 * @throws ServerAnswerError where the first two failed, or the caches are not what the engine's name says; the signal's reason when aborted
 */
export async function recordSingles(session: RecordingSession, options: SinglesOptions): Promise<void> {
  const { lengths, repetitions, form } = options;
  const newPrompt = (length: number): Promise<string | readonly number[]> =>
    form === 'ids' ? session.prompts.ids(length) : session.prompts.text(length);
  const modes: readonly SingleMode[] = session.engine === 'lmcache' ? ['cold', 'gpu', 'lmcache'] : ['cold', 'gpu'];
  const warmUps = [...new Set([Math.min(...lengths), Math.max(...lengths)])];
  const plan = [
    ...warmUps.map((length) => ({ length, rep: -1 })),
    ...Array.from({ length: repetitions }, (_, rep) => lengths.map((length) => ({ length, rep }))).flat(),
  ];
  const prompts: (string | readonly number[])[] = [];
  const phase = form === 'ids' ? 'single prompts as ids' : 'single prompts';
  const progress = (name: string, done: number, total: number, failed: number): void =>
    session.onProgress({ phase: name, done, total, failed, inFlight: 0, figures: {} });
  for (const { length } of plan) {
    prompts.push(await newPrompt(length));
    progress('making prompts', prompts.length, plan.length, 0);
  }
  let done = 0;
  let failed = 0;
  for (const [index, { length, rep }] of plan.entries()) {
    for (const mode of modes) {
      if (mode === 'lmcache') await reset(session);
      const measured = await recordOne(session, prompts[index] ?? '', mode);
      const row: SingleRow = { engine: session.engine, length, rep, mode, resetOk: true, ...measured };
      if (rep >= 0) options.onRow(row);
      else if (row.error !== '') throw new ServerAnswerError(`The first prompts already failed: ${row.error}`, 200);
      done += 1;
      failed += row.error === '' ? 0 : 1;
      progress(phase, done, plan.length * modes.length, failed);
    }
  }
}

async function reset({ client, signal }: RecordingSession): Promise<void> {
  const answer = await resetPrefixCache(client.target, signal);
  if (!answer.ok) throw new ServerAnswerError(answer.message, 200);
}

async function recordOne(
  session: RecordingSession,
  prompt: string | readonly number[],
  mode: SingleMode,
): Promise<Omit<SingleRow, 'engine' | 'length' | 'rep' | 'mode' | 'resetOk'>> {
  const before = await settle(session);
  const { records } = await complete(session, [{ prompt, maxTokens: 1 }]);
  session.signal.throwIfAborted();
  const [record] = records;
  if (record === undefined) throw new Error('a request without a record');
  const isGood = record.outcome.state === 'ok';
  const cachedTokens = record.cachedTokens ?? 0;
  return {
    firstChunk: sinceSent(record, record.tokenTimes[0]),
    ttft: isGood ? ttftSeconds(record) : null,
    promptTokens: record.promptTokens,
    cachedTokens,
    error: isGood ? wrongCache(mode, record.promptTokens ?? 0, cachedTokens) : describeOutcome(record.outcome),
    engineTimes: isGood ? await session.watch.timesSince(before) : UNTOLD,
  };
}

/** @returns null where it was not sent, or nothing came */
export function sinceSent(record: RequestRecord, at: number | undefined): number | null {
  return at === undefined || record.sentAt === null ? null : at - record.sentAt;
}

/** How much of a prompt was cached where all or nothing of it had to be; empty where it was so. */
function wrongCache(mode: SingleMode, promptTokens: number, cachedTokens: number): string {
  if (mode === 'cold') {
    return cachedTokens > 0 ? `a new prompt found ${cachedTokens} cached tokens: take another --seed` : '';
  }
  if (cachedTokens > 0 || promptTokens <= CHUNK_TOKENS) return '';
  return mode === 'gpu'
    ? 'The same prompt sent twice shows no cached tokens: start vLLM with --enable-prefix-caching and --enable-prompt-tokens-details.'
    : "No token came from LMCache after the GPU's prefix cache was reset: is LMCache configured and alive, and --pause long enough for its stores? A vLLM without LMCache is --engine baseline.";
}
