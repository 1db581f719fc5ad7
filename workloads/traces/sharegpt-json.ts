import { z } from 'zod';
import { jsonArrayItems } from './json-array-items.js';
import { estimateTokens, MAX_TOKENS, TraceFileError, type TraceReadOptions, type TraceRequest } from './trace.js';
import { TraceSource } from './trace-source.js';

const messageSchema = z.looseObject({
  from: z.string().optional(),
  role: z.string().optional(),
  value: z.string().optional(),
  content: z.string().optional(),
});
const entrySchema = z.looseObject({
  id: z.union([z.string(), z.number()]).optional(),
  conversations: z.array(messageSchema).optional(),
  messages: z.array(messageSchema).optional(),
});

const askers = new Set(['human', 'user', 'system']);
const answerers = new Set(['gpt', 'assistant', 'chatgpt', 'bing', 'bard', 'model']);

/**
 * ShareGPT: one JSON array of `{"id": ..., "conversations": [{"from": "human", "value": ...}, {"from": "gpt", ...}]}`
 * (or `messages` with `role` and `content`). Each answer makes a request: what was said since the answer before is its
 * question. There are no times. Tokens are counted from the texts.
 */
export class ShareGptTrace extends TraceSource {
  readonly format = 'sharegpt';
  readonly hasTimes = false;
  readonly blockTokens = null;
  readonly #countTokens: (text: string) => number;

  constructor(path: string, options: TraceReadOptions) {
    super(path);
    this.#countTokens = options.countTokens ?? estimateTokens;
  }

  protected async *read(): AsyncGenerator<readonly TraceRequest[]> {
    let index = 0;
    let conversation = 0;
    for await (const items of jsonArrayItems(this.path)) {
      const batch: TraceRequest[] = [];
      for (const { value, line } of items) {
        const turns = this.#turns(value, line);
        for (const [turn, request] of turns.requests.entries()) {
          const conversationId = turns.id ?? String(conversation);
          batch.push({ index, timeSeconds: null, conversation, conversationId, turn, ...request });
          index += 1;
        }
        conversation += turns.requests.length > 0 ? 1 : 0;
      }
      yield batch;
    }
    if (index === 0) {
      throw new TraceFileError(this.path, 'holds no question with an answer');
    }
  }

  #turns(
    value: unknown,
    line: number,
  ): {
    readonly id: string | null;
    readonly requests: readonly Omit<
      TraceRequest,
      'index' | 'timeSeconds' | 'conversation' | 'conversationId' | 'turn'
    >[];
  } {
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const column = issue?.path.join('.');
      throw new TraceFileError(this.path, issue?.message ?? 'is no conversation', {
        line,
        ...(column ? { column } : {}),
      });
    }
    const { id, conversations, messages } = parsed.data;
    const said = conversations ?? messages ?? [];
    const requests = [];
    let history = 0;
    let question = '';
    for (const [position, message] of said.entries()) {
      const speaker = message.from ?? message.role ?? (position % 2 === 0 ? 'human' : 'gpt');
      const text = message.value ?? message.content ?? '';
      if (askers.has(speaker)) {
        question = question === '' ? text : `${question}\n\n${text}`;
      } else if (!answerers.has(speaker)) {
        this.note(`messages of "${speaker}" were left out`);
      } else if (question === '' || text === '') {
        this.note('answers without a question, or empty ones, were left out');
        question = '';
      } else {
        const newTokens = this.#countTokens(question);
        const outputTokens = this.#countTokens(text);
        const promptTokens = history + newTokens;
        history = promptTokens + outputTokens;
        if (history > MAX_TOKENS) {
          throw new TraceFileError(this.path, `a conversation of more than ${MAX_TOKENS} tokens`, { line });
        }
        requests.push({ newTokens, promptTokens, outputTokens, inputText: question, outputText: text });
        question = '';
      }
    }
    if (requests.length === 0) {
      this.note('conversations without an answered question were left out');
    }
    return { id: id === undefined ? null : String(id), requests };
  }
}
