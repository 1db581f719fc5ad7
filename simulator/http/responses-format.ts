import { randomBytes } from 'node:crypto';
import type { FinishReason } from '../engine/sequence.js';
import type { AnswerFormat, ChunkPart, FinishedChoice, StreamFailure, Usage } from './answer-format.js';
import type { ChatLogprobs } from './logprobs-format.js';
import type { JsonObject } from './request-body.js';
import {
  functionCall,
  message,
  type ResponseFacts,
  type ResponseObject,
  responseObject,
  textPart,
} from './response-object.js';
import type { ReadCall, ToolCall, ToolDelta } from './tool-call-reader.js';

type TokenLogprobs = ChatLogprobs['content'];

export interface ResponsesFormatOptions {
  readonly facts: ResponseFacts;
  /** A parser reads the whole answer: an empty one then is no message at all. */
  readonly hasParser: boolean;
  /** Takes the response when it is complete. */
  readonly onFinished: (response: ResponseObject) => void;
}

/** The item that is being streamed. */
type OpenItem =
  | { readonly kind: 'message'; readonly id: string; text: string }
  | { readonly kind: 'call'; readonly id: string; readonly callId: string; readonly name: string; arguments: string };

/** OpenAI's responses as vLLM 0.26 sends them, field by field. */
export class ResponsesFormat implements AnswerFormat {
  readonly #options: ResponsesFormatOptions;
  #sequenceNumber = 0;
  #outputIndex = 0;
  #open: OpenItem | null = null;
  #text = '';
  readonly #logprobs: TokenLogprobs[number][] = [];
  #read: ReadCall | null = null;
  #finishReason: FinishReason = 'length';

  constructor(options: ResponsesFormatOptions) {
    this.#options = options;
  }

  opening(): string {
    const response = this.response('in_progress');
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response });
  }

  /** The response before it has an output. */
  response(status: 'queued' | 'in_progress'): ResponseObject {
    return responseObject(this.#options.facts, status, [], null);
  }

  start(): string {
    return '';
  }

  content({ text, toolDeltas, read, finishReason, logprobs }: ChunkPart): string {
    if (finishReason !== null) this.#finishReason = finishReason;
    if (read !== null) this.#read = read;
    if (toolDeltas !== null) return toolDeltas.map((delta) => this.#toolEvents(delta)).join('');
    const tokens = isChatLogprobs(logprobs) ? logprobs.content : [];
    this.#logprobs.push(...tokens);
    this.#text += text;
    return text === '' ? '' : this.#textEvents(text, tokens);
  }

  end(usage: Usage | null): string {
    const closed = this.#close();
    const { content, calls } = this.#read ?? { content: this.#text, calls: [] };
    const response = this.#finished(content ?? '', calls, this.#logprobs, this.#finishReason, usage);
    return closed + this.#event('response.completed', { response });
  }

  /** The error is no event of a response, which is where vLLM 0.26 gives up. */
  failure(): StreamFailure {
    return { kind: 'broken' };
  }

  body(choices: readonly FinishedChoice[], usage: Usage): string {
    const [choice] = choices;
    if (choice === undefined) throw new Error('A response has one choice.');
    const logprobs = isChatLogprobs(choice.logprobs) ? choice.logprobs.content : [];
    return JSON.stringify(this.#finished(choice.text ?? '', choice.calls, logprobs, choice.finishReason, usage));
  }

  #finished(
    text: string,
    calls: readonly ToolCall[],
    logprobs: TokenLogprobs,
    finishReason: FinishReason,
    usage: Usage | null,
  ): ResponseObject {
    const { facts, hasParser, onFinished } = this.#options;
    const asked = facts.request.include?.includes('message.output_text.logprobs') ?? false;
    const parts = text === '' ? [] : [textPart(text, asked ? logprobs.map(wholeLogprob) : null)];
    const words = parts.length > 0 || (calls.length === 0 && !hasParser) ? [message(newId('msg_'), parts)] : [];
    const output = [...words, ...calls.map((call) => functionCall(newId('fc_'), call.id, call.name, call.arguments))];
    const status = finishReason === 'length' ? 'incomplete' : 'completed';
    const response = responseObject(facts, status, output, usage);
    onFinished(response);
    return response;
  }

  #textEvents(text: string, tokens: TokenLogprobs): string {
    let events = '';
    if (this.#open?.kind !== 'message') {
      events += this.#close();
      this.#open = { kind: 'message', id: newId(''), text: '' };
      events += this.#event('response.output_item.added', {
        item: message(this.#open.id, [], 'in_progress'),
        output_index: this.#outputIndex,
      });
      events += this.#event('response.content_part.added', {
        content_index: 0,
        item_id: this.#open.id,
        output_index: this.#outputIndex,
        part: textPart('', []),
      });
    }
    this.#open.text += text;
    return (
      events +
      this.#event('response.output_text.delta', {
        content_index: 0,
        delta: text,
        item_id: this.#open.id,
        logprobs: tokens.map(streamedLogprob),
        output_index: this.#outputIndex,
      })
    );
  }

  #toolEvents(delta: ToolDelta): string {
    if ('name' in delta) {
      const closed = this.#close();
      const open = { kind: 'call', id: newId(''), callId: newId('call_'), name: delta.name, arguments: '' } as const;
      this.#open = { ...open };
      const item = functionCall(open.id, open.callId, open.name, '', 'in_progress');
      return closed + this.#event('response.output_item.added', { item, output_index: this.#outputIndex });
    }
    if (this.#open?.kind !== 'call') throw new Error('The arguments of a call follow its name.');
    this.#open.arguments += delta.arguments;
    return this.#event('response.function_call_arguments.delta', {
      delta: delta.arguments,
      item_id: this.#open.id,
      output_index: this.#outputIndex,
    });
  }

  /** Ends the item that is being streamed. */
  #close(): string {
    const open = this.#open;
    if (open === null) return '';
    const events = open.kind === 'message' ? this.#closeMessage(open) : this.#closeCall(open);
    this.#open = null;
    this.#outputIndex += 1;
    return events;
  }

  #closeMessage({ id, text }: Extract<OpenItem, { kind: 'message' }>): string {
    const output_index = this.#outputIndex;
    const part = textPart(text, null);
    return (
      this.#event(
        'response.output_text.done',
        { content_index: 0, item_id: id, logprobs: [], output_index },
        { text },
      ) +
      this.#event('response.content_part.done', { content_index: 0, item_id: id, output_index, part }) +
      this.#event('response.output_item.done', { item: { ...message(id, [part]), summary: [] }, output_index })
    );
  }

  #closeCall({ id, callId, name, arguments: given }: Extract<OpenItem, { kind: 'call' }>): string {
    const output_index = this.#outputIndex;
    const item = functionCall(id, callId, name, given);
    const done = { arguments: given, item_id: id, output_index };
    // vLLM 0.26 leaves this event out where no argument has come.
    const told = given === '' ? '' : this.#event('response.function_call_arguments.done', done, {}, { name });
    return told + this.#event('response.output_item.done', { item, output_index });
  }

  /** @param middle and `last` stand where they do in the real server's events: around the type. */
  #event(type: string, fields: JsonObject, middle: JsonObject = {}, last: JsonObject = {}): string {
    const data = { ...fields, sequence_number: this.#sequenceNumber, ...middle, type, ...last };
    this.#sequenceNumber += 1;
    return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }
}

function newId(prefix: string): string {
  return prefix + randomBytes(8).toString('hex');
}

function isChatLogprobs(logprobs: unknown): logprobs is ChatLogprobs {
  return typeof logprobs === 'object' && logprobs !== null && 'content' in logprobs;
}

function wholeLogprob({ token, bytes, logprob, top_logprobs: top }: TokenLogprobs[number]): unknown {
  const others = top.map((other) => ({ token: other.token, bytes: other.bytes, logprob: other.logprob }));
  return { token, bytes, logprob, top_logprobs: others };
}

function streamedLogprob({ token, logprob, top_logprobs: top }: TokenLogprobs[number]): unknown {
  return { token, logprob, top_logprobs: top.map((other) => ({ token: other.token, logprob: other.logprob })) };
}
