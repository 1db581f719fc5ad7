import type { FinishReason } from '../engine/sequence.js';
import type { AnswerFormat, AnswerHead, ChunkPart, FinishedChoice, StreamFailure, Usage } from './answer-format.js';
import type { ToolCall, ToolDelta } from './tool-call-reader.js';

/** vLLM 0.26 reads the chat's error as if it were a part of the answer. */
const FAILURE = `2 validation errors for ChatCompletionStreamResponse\n${['model', 'choices']
  .map(
    (field) =>
      `${field}\n  Field required [type=missing, input_value={'error': {'message': 'In...am': None, 'code': 500}}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.14/v/missing`,
  )
  .join('\n')}`;

/** The block that is being streamed. */
type OpenBlock = 'text' | 'tool_use' | null;

/** Anthropic's messages as vLLM 0.26 makes them out of a chat, field by field. */
export class MessagesFormat implements AnswerFormat {
  readonly #head: AnswerHead;
  #open: OpenBlock = null;
  #index = 0;
  /** Until another one is told. */
  #stopReason: string | null = 'end_turn';

  constructor(head: AnswerHead) {
    this.#head = head;
  }

  opening(): string {
    return '';
  }

  start(_index: number, usage: Usage | null): string {
    const { id, model } = this.#head;
    const reasons = { stop_reason: null, stop_sequence: null };
    const message = { id, type: 'message', role: 'assistant', content: [], model, ...reasons, usage: usageOf(usage) };
    return event('message_start', { message });
  }

  content({ text, toolDeltas, finishReason, endsAsCall }: ChunkPart): string {
    if (finishReason !== null) this.#stopReason = stopReasonOf(finishReason, endsAsCall);
    if (toolDeltas !== null) return toolDeltas.map((delta) => this.#toolEvents(delta)).join('');
    if (text === '') return '';
    const opened = this.#open === 'text' ? '' : this.#start('text', { type: 'text', text: '' });
    return opened + this.#delta({ type: 'text_delta', text });
  }

  end(usage: Usage | null): string {
    const delta = { stop_reason: this.#stopReason };
    return this.#stop() + event('message_delta', { delta, usage: usageOf(usage) }) + event('message_stop', {});
  }

  failure(begun: boolean): StreamFailure {
    if (!begun) return { kind: 'untold' };
    return { kind: 'told', lastEvents: event('error', { error: { type: 'internal_error', message: FAILURE } }) };
  }

  body(choices: readonly FinishedChoice[], usage: Usage): string {
    const [choice] = choices;
    if (choice === undefined) throw new Error('A message has one choice.');
    const text = choice.text ?? '';
    const content = [...(text === '' ? [] : [{ type: 'text', text }]), ...choice.calls.map(toolUse)];
    const stopReason = stopReasonOf(choice.finishReason, choice.endsAsCall);
    return JSON.stringify({
      id: this.#head.id,
      type: 'message',
      role: 'assistant',
      content: content.length > 0 ? content : [{ type: 'text', text: '' }],
      model: this.#head.model,
      ...(stopReason === null ? {} : { stop_reason: stopReason }),
      usage: usageOf(usage),
    });
  }

  #toolEvents(delta: ToolDelta): string {
    if ('name' in delta) {
      return this.#start('tool_use', { type: 'tool_use', id: delta.id, name: delta.name, input: {} });
    }
    return this.#delta({ type: 'input_json_delta', partial_json: delta.arguments });
  }

  #start(kind: OpenBlock, block: unknown): string {
    const stopped = this.#stop();
    this.#open = kind;
    return stopped + event('content_block_start', { content_block: block, index: this.#index });
  }

  #delta(delta: unknown): string {
    return event('content_block_delta', { delta, index: this.#index });
  }

  #stop(): string {
    if (this.#open === null) return '';
    this.#open = null;
    this.#index += 1;
    return event('content_block_stop', { index: this.#index - 1 });
  }
}

function event(type: string, fields: Readonly<Record<string, unknown>>): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

function toolUse({ id, name, arguments: given }: ToolCall): unknown {
  return { type: 'tool_use', id, name, input: JSON.parse(given) };
}

/** vLLM 0.26 tells a stop string no different from the model's own end. */
function stopReasonOf(finishReason: FinishReason, endsAsCall: boolean): string | null {
  if (endsAsCall) return 'tool_use';
  if (finishReason === 'length') return 'max_tokens';
  return finishReason === 'stop' ? 'end_turn' : null;
}

function usageOf(usage: Usage | null): unknown {
  const { promptTokens, completionTokens, details } = usage ?? { promptTokens: 0, completionTokens: 0, details: null };
  if (details === null) return { input_tokens: promptTokens, output_tokens: completionTokens };
  const { cachedTokens, createdCacheTokens } = details;
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - createdCacheTokens),
    output_tokens: completionTokens,
    cache_creation_input_tokens: createdCacheTokens,
    cache_read_input_tokens: cachedTokens,
  };
}
