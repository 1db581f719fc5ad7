import type { Conversation } from './conversations.js';
import type { MeasuringClient } from './measuring-client.js';
import {
  type MultiRoundQaPlanOptions,
  type MultiRoundQaUser,
  multiRoundQaQuestion,
  multiRoundQaUsers,
  questionGapSeconds,
} from './multi-round-qa-plan.js';
import { type RequestRecord, ttftSeconds } from './request.js';
import type { RoundRequest } from './request-round.js';
import { mean } from './statistics.js';

export interface MultiRoundQaOptions extends MultiRoundQaPlanOptions {
  /** Tokens of each answer. */
  readonly answerLen: number;
}

/** How one turn is sent; what the run as a whole decides. */
export interface TurnSettings {
  readonly path: string;
  readonly requestIdPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Merged over each body. */
  readonly extraBody: Readonly<Record<string, unknown>>;
}

/** Its printed summary; rates over the time from the start to the last answer. A null could not be measured. */
export interface MultiRoundQaSummary {
  readonly configured_qps: number;
  readonly actual_qps: number;
  /** Requests answered a second. */
  readonly processing_speed: number;
  readonly requests_on_the_fly: number;
  readonly input_tokens_per_second: number;
  readonly output_tokens_per_second: number;
  readonly average_generation_throughput_per_request: number | null;
  readonly average_ttft: number | null;
}

/** The conversations of all users, with the history in each request. */
export function multiRoundQaConversations(
  client: MeasuringClient,
  options: MultiRoundQaOptions,
  settings: TurnSettings,
): Conversation[] {
  return multiRoundQaUsers(options).map((user) => new UserConversation(client, options, settings, user));
}

class UserConversation implements Conversation {
  readonly #client: MeasuringClient;
  readonly #options: MultiRoundQaOptions;
  readonly #settings: TurnSettings;
  readonly #user: MultiRoundQaUser;

  constructor(client: MeasuringClient, options: MultiRoundQaOptions, settings: TurnSettings, user: MultiRoundQaUser) {
    this.#client = client;
    this.#options = options;
    this.#settings = settings;
    this.#user = user;
  }

  /** A gap after the question before was really asked. */
  nextDue(turns: readonly RequestRecord[]): number | null {
    const { numRounds, timeSeconds } = this.#options;
    const last = turns.at(-1);
    const due =
      last === undefined ? this.#user.firstDueSeconds : (last.sentAt ?? 0) + questionGapSeconds(this.#options);
    return this.#user.firstQuestion + turns.length > numRounds || due > timeSeconds ? null : due;
  }

  nextRequest(turns: readonly RequestRecord[], dueSeconds: number): RoundRequest {
    const { path, requestIdPrefix, headers, extraBody } = this.#settings;
    const { answerLen } = this.#options;
    const { userId } = this.#user;
    const messages = turns.flatMap((record, turn) => [
      { role: 'user', content: this.#question(turn) },
      { role: 'assistant', content: record.text },
    ]);
    messages.push({ role: 'user', content: this.#question(turns.length) });
    return this.#client.prepare(
      path,
      {
        messages,
        model: this.#client.target.model,
        temperature: 0,
        stream: true,
        max_tokens: answerLen,
        stream_options: { include_usage: true },
        ...extraBody,
      },
      {
        expectedTokens: answerLen,
        intendedStart: dueSeconds,
        requestId: `${requestIdPrefix}${userId}-${turns.length}`,
        headers: { 'x-user-id': String(userId), ...headers },
      },
    );
  }

  #question(turn: number): string {
    return multiRoundQaQuestion(this.#options, this.#user, this.#user.firstQuestion + turn);
  }
}

/** `ProcessSummary` of multi-round-qa.py, over the whole run; failed requests are in no average. */
export function summariseMultiRoundQa(
  records: readonly RequestRecord[],
  durationSeconds: number,
  configuredQps: number,
): MultiRoundQaSummary {
  const answered = records.filter(({ outcome }) => outcome.state === 'ok');
  const perSecond = (count: number): number => (durationSeconds > 0 ? count / durationSeconds : 0);
  const total = (of: (record: RequestRecord) => number | null): number =>
    answered.reduce((sum, record) => sum + (of(record) ?? 0), 0);
  const speeds = answered.flatMap((record) =>
    generationSeconds(record) > 0 ? [(record.completionTokens ?? 0) / generationSeconds(record)] : [],
  );
  return {
    configured_qps: configuredQps,
    actual_qps: perSecond(records.filter(({ sentAt }) => sentAt !== null).length),
    processing_speed: perSecond(answered.length),
    requests_on_the_fly: records.filter(({ outcome }) => outcome.state === 'failed' && outcome.reason === 'aborted')
      .length,
    input_tokens_per_second: perSecond(total(({ promptTokens }) => promptTokens)),
    output_tokens_per_second: perSecond(total(({ completionTokens }) => completionTokens)),
    average_generation_throughput_per_request: speeds.length === 0 ? null : mean(speeds),
    average_ttft: answered.length === 0 ? null : mean(answered.map((record) => ttftSeconds(record) ?? 0)),
  };
}

/** From the first token to the end. */
export function generationSeconds(record: RequestRecord): number {
  return record.endedAt - (record.firstTokenAt ?? record.endedAt);
}
