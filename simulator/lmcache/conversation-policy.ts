import type { SimulatedClock } from '../contracts.js';
import { type ConversationAwareOptions, worthUntil } from './conversation-worth.js';
import type { EvictionPolicy } from './eviction-policy.js';

interface Prompt {
  readonly worth: number;
  readonly usedAt: number;
  /** Its last chunk, held or not. */
  last: string | null;
  /** What it is the most worthy prompt of, in its order. */
  readonly keys: string[];
}

interface Chunk {
  /** The most worthy prompt that has it; at equal worth the latest. */
  holder: Prompt;
  /** The prompt that used it last. */
  user: Prompt;
}

/**
 * Conversation-aware eviction: chunks carry the worth of the prompt that used them last, or a higher one that they had
 * before; the least worth leaves first, at equal worth what was used earlier, of one prompt the end. So nothing leaves
 * before what depends on it. What is worth less than all that is there is not stored. A prompt that has the whole of an
 * earlier one as its beginning is the next turn of its conversation.
 * It stands for `LMCACHE_EXTRA_CONFIG={"use_conversation_eviction": true}`.
 */
export class ConversationPolicy implements EvictionPolicy {
  readonly #clock: SimulatedClock;
  readonly #options: ConversationAwareOptions;
  readonly #chunks = new Map<string, Chunk>();
  /** By worth, the least first; equal worth by age. Those that hold nothing any more are dropped now and then. */
  #prompts: Prompt[] = [];
  /** Whose chunks are added. */
  #filling: Prompt | null = null;

  constructor(clock: SimulatedClock, options: ConversationAwareOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  used(keys: readonly string[]): void {
    const held = this.#held(keys);
    const last = held.at(-1)?.user;
    if (last === undefined) return;
    const pause = isBeginning(last, keys) ? this.#clock.now() - last.usedAt : null;
    const prompt = this.#add(pause);
    prompt.last = keys[held.length - 1] ?? null;
    for (const [index, chunk] of held.entries()) {
      const key = keys[index];
      chunk.user = prompt;
      if (key === undefined || chunk.holder.worth > prompt.worth) continue;
      take(chunk.holder, key);
      chunk.holder = prompt;
      prompt.keys.push(key);
    }
  }

  filling(keys: readonly string[]): void {
    const user = this.#held(keys).at(-1)?.user;
    this.#filling = user !== undefined && isBeginning(user, keys) ? user : this.#add(null);
  }

  added(key: string): void {
    this.#filling ??= this.#add(null);
    const prompt = this.#filling;
    prompt.last = key;
    prompt.keys.push(key);
    this.#chunks.set(key, { holder: prompt, user: prompt });
  }

  touched(): void {}

  removed(key: string): void {
    const chunk = this.#chunks.get(key);
    if (chunk === undefined) return;
    this.#chunks.delete(key);
    take(chunk.holder, key);
  }

  /** Of prompts that are worth less than the one that is being stored. */
  victims(count: number): readonly string[] {
    const victims: string[] = [];
    for (const prompt of this.#prompts) {
      if (victims.length >= count || prompt === this.#filling) break;
      victims.push(...prompt.keys.slice(-(count - victims.length)).reverse());
    }
    return victims;
  }

  /** Chunks at the beginning of the prompt that are there. */
  #held(keys: readonly string[]): Chunk[] {
    const held: Chunk[] = [];
    for (const key of keys) {
      const chunk = this.#chunks.get(key);
      if (chunk === undefined) break;
      held.push(chunk);
    }
    return held;
  }

  #add(pauseSeconds: number | null): Prompt {
    const usedAt = this.#clock.now();
    const worth = worthUntil(usedAt, pauseSeconds, this.#options);
    const prompt = { worth, usedAt, last: null, keys: [] };
    // More than that, and most of them hold nothing.
    if (this.#prompts.length > 2 * this.#chunks.size + 16) {
      this.#prompts = this.#prompts.filter((other) => other.keys.length > 0 || other === this.#filling);
    }
    let at = this.#prompts.length;
    while (at > 0 && (this.#prompts[at - 1]?.worth ?? 0) > worth) at -= 1;
    this.#prompts.splice(at, 0, prompt);
    return prompt;
  }
}

/** Whether all of the earlier prompt stands at the beginning of these chunks. */
function isBeginning({ last }: Prompt, keys: readonly string[]): boolean {
  return last !== null && keys.includes(last);
}

/** Its first key or its last one, but for chunks that are removed one by one. */
function take({ keys }: Prompt, key: string): void {
  if (keys.at(-1) === key) keys.pop();
  else keys.splice(keys.indexOf(key), 1);
}
