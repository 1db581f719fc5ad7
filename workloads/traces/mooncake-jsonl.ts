import { z } from 'zod';
import { ConversationTable } from './conversation-table.js';
import { textLines } from './text-lines.js';
import { MAX_TOKENS, TraceFileError, type TraceReadOptions, type TraceRequest } from './trace.js';
import { TraceSource } from './trace-source.js';

/** Of the traces published with Mooncake (FAST '25). */
const PUBLISHED_BLOCK_TOKENS = 512;
const MILLISECONDS = 0.001;

const tokens = z.int().min(0).max(MAX_TOKENS);
const rowSchema = z.looseObject({
  timestamp: z.number().optional(),
  created_time: z.number().optional(),
  input_length: tokens.optional(),
  input_tokens: tokens.optional(),
  output_length: tokens.optional(),
  output_tokens: tokens.optional(),
  hash_ids: z.array(z.union([z.int().min(0), z.string()])).optional(),
  session_id: z.union([z.string(), z.number()]).optional(),
});

/**
 * Mooncake's traces: `{"timestamp": 27000, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, ...]}` a
 * line. Times are milliseconds; a hash id names a block of 512 tokens together with everything before it, the last
 * one of a prompt may be partial. `input_tokens`, `output_tokens` and `created_time` are taken as well, and a
 * `session_id` as the conversation. The input length is that of the whole prompt.
 */
export class MooncakeTrace extends TraceSource {
  readonly format = 'mooncake';
  readonly hasTimes = true;
  readonly blockTokens: number;
  readonly #secondsPerUnit: number;

  constructor(path: string, options: TraceReadOptions) {
    super(path);
    this.blockTokens = options.blockTokens ?? PUBLISHED_BLOCK_TOKENS;
    this.#secondsPerUnit = options.secondsPerUnit ?? MILLISECONDS;
  }

  protected async *read(): AsyncGenerator<readonly TraceRequest[]> {
    const sessions = new ConversationTable();
    let index = 0;
    for await (const lines of textLines(this.path)) {
      const batch: TraceRequest[] = [];
      for (const { bytes, number } of lines) {
        batch.push(this.#row(bytes, number, index, sessions));
        index += 1;
      }
      yield batch;
    }
    if (index === 0) {
      throw new TraceFileError(this.path, 'holds no request');
    }
  }

  #row(bytes: Buffer, line: number, index: number, sessions: ConversationTable): TraceRequest {
    const fail = (message: string, column?: string): TraceFileError =>
      new TraceFileError(this.path, message, { line, ...(column === undefined ? {} : { column }) });
    let json: unknown;
    try {
      json = JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      throw fail(`is no JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
    const parsed = rowSchema.safeParse(json);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw fail(issue?.message ?? 'is no request', issue?.path.join('.') || undefined);
    }
    const row = parsed.data;
    const time = row.timestamp ?? row.created_time;
    const promptTokens = row.input_length ?? row.input_tokens;
    const outputTokens = row.output_length ?? row.output_tokens;
    if (time === undefined) throw fail('is missing: a number of milliseconds is expected', 'timestamp');
    if (promptTokens === undefined) throw fail('is missing: a whole number of tokens is expected', 'input_length');
    if (outputTokens === undefined) throw fail('is missing: a whole number of tokens is expected', 'output_length');
    const ids = row.hash_ids;
    if (ids === undefined) throw fail('is missing: a list of block ids is expected', 'hash_ids');
    if (ids.length !== Math.ceil(promptTokens / this.blockTokens)) {
      throw fail(
        `${ids.length} ids, where ${promptTokens} tokens are ${Math.ceil(promptTokens / this.blockTokens)} blocks of ${this.blockTokens} (see --block-tokens)`,
        'hash_ids',
      );
    }
    const name = String(row.session_id ?? index);
    const conversation = row.session_id === undefined ? index : sessions.numberOf(name);
    const turn = row.session_id === undefined ? 0 : sessions.turns(conversation);
    const history = row.session_id === undefined ? 0 : sessions.historyTokens(conversation);
    if (row.session_id !== undefined) {
      sessions.addTurn(conversation, promptTokens + outputTokens);
    }
    return {
      index,
      timeSeconds: this.sinceFirst(time * this.#secondsPerUnit, false),
      conversation,
      conversationId: name,
      turn,
      newTokens: Math.max(0, promptTokens - history),
      promptTokens,
      outputTokens,
      hashIds: ids,
    };
  }
}
