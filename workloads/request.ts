/** Why a request did not succeed. */
export type RequestFailure =
  /** Any status but 2xx; `body` holds at most its first 64 KiB. */
  | {
      readonly reason: 'http-error';
      readonly status: number;
      readonly body: string;
      readonly retryAfterSeconds: number | null;
    }
  /** The server answered 200 and sent an error inside the stream. */
  | { readonly reason: 'in-band-error'; readonly message: string }
  /** The stream ended without `[DONE]`. */
  | { readonly reason: 'truncated'; readonly message: string }
  /** Refused, reset, closed before the answer was complete. */
  | { readonly reason: 'connection'; readonly message: string }
  | { readonly reason: 'timeout'; readonly message: string }
  /** Ended by us. */
  | { readonly reason: 'aborted'; readonly message: string }
  /** Not HTTP, not an event stream, not JSON. */
  | { readonly reason: 'invalid-stream'; readonly message: string }
  /** A proper stream in which the server generated nothing. */
  | { readonly reason: 'no-tokens'; readonly message: string };

/** Every request ends in exactly one of these. */
export type RequestOutcome = { readonly state: 'ok' } | ({ readonly state: 'failed' } & RequestFailure);

/**
 * One request, as measured.
 * All times are seconds after the start of its round, on one monotonic clock; against a simulated
 * server they are simulated seconds (wall-clock time multiplied by its speed).
 */
export interface RequestRecord {
  /** Position in the round. */
  readonly index: number;
  /** When the schedule wanted it sent; 0 where all are due at once. */
  readonly intendedStart: number;
  /**
   * When it was due and a place under the concurrency limit was free. While several threads send, each knows of its own
   * places only (`--request-log`); a result's table has it settled over the places of all.
   */
  readonly readyAt: number;
  /** Just before its first byte was written; null: never sent. */
  readonly sentAt: number | null;
  /** When the kernel had taken its last byte. */
  readonly bodySentAt: number | null;
  readonly headersAt: number | null;
  /** First byte of the answer's body. */
  readonly firstByteAt: number | null;
  /** First token with content; a token without visible text counts only where no other came. */
  readonly firstTokenAt: number | null;
  /** One entry for each event that carried generated tokens; role-only events are none. */
  readonly tokenTimes: Float64Array;
  /** When the answer was complete, or the request was given up. */
  readonly endedAt: number;
  readonly status: number | null;
  /** `usage.prompt_tokens`; null where the server did not say. */
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  /** `usage.prompt_tokens_details.cached_tokens`. */
  readonly cachedTokens: number | null;
  readonly finishReason: string | null;
  /** Generated text (content, else reasoning), as far as it came. */
  readonly text: string;
  readonly outcome: RequestOutcome;
}

/** Seconds from send to the first token; null where there was none. */
export function ttftSeconds(record: RequestRecord): number | null {
  return record.firstTokenAt === null || record.sentAt === null ? null : record.firstTokenAt - record.sentAt;
}

/** Seconds from when the schedule wanted it sent to the first token: no coordinated omission. */
export function ttftFromIntendedSeconds(record: RequestRecord): number | null {
  return record.firstTokenAt === null ? null : record.firstTokenAt - record.intendedStart;
}

/** A failure as one line for logs and result files; the empty string for success. */
export function describeOutcome(outcome: RequestOutcome): string {
  if (outcome.state === 'ok') {
    return '';
  }
  if (outcome.reason === 'http-error') {
    return `HTTP ${outcome.status}: ${outcome.body.trim().slice(0, 2000)}`;
  }
  return `${outcome.reason}: ${outcome.message}`;
}
