import type { AnswerChannel } from './answer-channel.js';
import { invalidRequest } from './api-error.js';
import type { Reply } from './reply.js';
import type { ResponseObject } from './response-object.js';
import type { ChatDraft } from './responses-chat.js';

/** The events of a response that runs in the background, for whoever follows it. */
class EventLog implements AnswerChannel {
  readonly #events: string[] = [];
  readonly #followers = new Set<() => void>();
  #isComplete = false;

  events(text: string): void {
    this.#events.push(...text.split(/(?<=\n\n)/));
    for (const tell of this.#followers) tell();
  }

  lastEvents(text: string): void {
    this.#isComplete = true;
    this.events(text);
  }

  body(): void {
    throw new Error('The response is streamed.');
  }

  failure(): void {
    this.body();
  }

  /** Nobody who follows is told: they wait. */
  breakOff(): void {}

  /** Streams the events from this number on, and those to come. */
  follow(reply: Reply, from: number): void {
    reply.openStream();
    let next = from;
    const tell = (): void => {
      reply.response.write(this.#events.slice(next).join(''));
      next = this.#events.length;
      if (!this.#isComplete) return;
      this.#followers.delete(tell);
      reply.response.end();
    };
    reply.response.on('close', () => this.#followers.delete(tell));
    this.#followers.add(tell);
    if (this.#events.length > from || this.#isComplete) tell();
  }
}

interface StoredResponse {
  response: ResponseObject;
  /** What it answers. */
  readonly messages: readonly ChatDraft[];
  /** Of one that runs in the background as a stream. */
  readonly log: EventLog | null;
  /** Ends one that runs in the background. */
  readonly end: (() => void) | null;
}

/** The responses that vLLM keeps with VLLM_ENABLE_RESPONSES_API_STORE=1, for as long as it runs. */
export class ResponseStore {
  readonly #stored = new Map<string, StoredResponse>();

  /** A response in the background begins. @returns where its events go, which `reply` is told. */
  begin(response: ResponseObject, messages: readonly ChatDraft[], isStream: boolean, end: () => void): EventLog | null {
    const log = isStream ? new EventLog() : null;
    this.#stored.set(response.id, { response, messages, log, end });
    return log;
  }

  /** A response is complete; one that was cancelled meanwhile stays so. */
  complete(response: ResponseObject, messages: readonly ChatDraft[]): void {
    const stored = this.#stored.get(response.id);
    if (stored === undefined) this.#stored.set(response.id, { response, messages, log: null, end: null });
    else if (stored.response.status !== 'cancelled') stored.response = response;
  }

  /** @throws ApiError 404 */
  get(id: string): StoredResponse {
    const stored = this.#stored.get(id);
    if (stored === undefined) throw invalidRequest(404, `Response with id '${id}' not found.`, 'response_id');
    return stored;
  }

  /** The conversation that a response ends. @throws ApiError 404 */
  conversation(id: string): readonly ChatDraft[] {
    const { response, messages } = this.get(id);
    const said = response.output.flatMap((item) => (item.type === 'message' ? item.content : []));
    return [...messages, ...said.map(({ text }) => ({ role: 'assistant', content: text }))];
  }

  /** @throws ApiError 404, and 400 for one that does not run in the background */
  cancel(id: string): ResponseObject {
    const stored = this.get(id);
    if (stored.response.status !== 'queued') {
      throw invalidRequest(400, 'Cannot cancel a synchronous response.', 'response_id');
    }
    stored.response = { ...stored.response, status: 'cancelled' };
    stored.end?.();
    return stored.response;
  }
}
