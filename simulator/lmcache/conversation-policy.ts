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
  /** Whether it stands in the list of those that hold something. */
  isListed: boolean;
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
    const prompt = this.#newPrompt(pause);
    prompt.last = keys[held.length - 1] ?? null;
    for (const [index, chunk] of held.entries()) {
      const key = keys[index];
      chunk.user = prompt;
      if (key === undefined || chunk.holder.worth > prompt.worth) continue;
      take(chunk.holder, key);
      chunk.holder = prompt;
      this.#give(prompt, key);
    }
  }

  filling(keys: readonly string[]): void {
    const user = this.#held(keys).at(-1)?.user;
    this.#filling = user !== undefined && isBeginning(user, keys) ? user : this.#newPrompt(null);
  }

  added(key: string): void {
    this.#filling ??= this.#newPrompt(null);
    const prompt = this.#filling;
    prompt.last = key;
    this.#give(prompt, key);
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
    const limit = this.#filling?.worth ?? Number.POSITIVE_INFINITY;
    for (const prompt of this.#prompts) {
      if (victims.length >= count || prompt === this.#filling || prompt.worth > limit) break;
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

  #newPrompt(pauseSeconds: number | null): Prompt {
    const usedAt = this.#clock.now();
    const worth = worthUntil(usedAt, pauseSeconds, this.#options);
    return { worth, usedAt, last: null, keys: [], isListed: false };
  }

  #give(prompt: Prompt, key: string): void {
    prompt.keys.push(key);
    if (prompt.isListed) return;
    // More than that, and most of them hold nothing any more.
    if (this.#prompts.length > 2 * this.#chunks.size + 16) this.#dropEmpty();
    let at = this.#prompts.length;
    while (at > 0 && (this.#prompts[at - 1]?.worth ?? 0) > prompt.worth) at -= 1;
    this.#prompts.splice(at, 0, prompt);
    prompt.isListed = true;
  }

  #dropEmpty(): void {
    for (const prompt of this.#prompts) prompt.isListed = prompt.keys.length > 0;
    this.#prompts = this.#prompts.filter(({ isListed }) => isListed);
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
