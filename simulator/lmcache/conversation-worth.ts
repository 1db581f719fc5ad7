/** Conversation-aware eviction: one rule for the simulator's tiers and for the offline cache simulation. */
export interface ConversationAwareOptions {
  /** How fast a conversation's worth fades, and which pause between turns counts as long. */
  readonly referenceSeconds: number;
  /** How much more a conversation that came back at once is worth than one that never did. */
  readonly returnWeight: number;
}

export const defaultConversationAware: ConversationAwareOptions = { referenceSeconds: 100, returnWeight: 1 };

/**
 * Until when a prompt's chunks are worth keeping, in seconds on the clock of `usedAt`: what is worth least leaves first.
 *
 * The score is that of the original cache benchmark runner (ConversationScorer in v1/cache_simulator.py of
 * github.com/yangdsh/vllm_cache_bench, with its constants): what was used `age` seconds ago, after a pause of `pause`
 * seconds since the turn before, scores exp(-age / reference) * (1 + weight * exp(-pause / reference)). Its logarithm,
 * in units of the reference, changes by the same for all while time goes by; without that it is the time of use plus
 * this bonus for those who came back. LMCache's own rule is not public.
 * @param pauseSeconds null: nothing of the conversation was there any more, or it is new
 */
export function worthUntil(usedAt: number, pauseSeconds: number | null, options: ConversationAwareOptions): number {
  const { referenceSeconds, returnWeight } = options;
  const returned = pauseSeconds === null ? 0 : returnWeight * Math.exp(-Math.max(0, pauseSeconds) / referenceSeconds);
  return usedAt + referenceSeconds * Math.log1p(returned);
}
