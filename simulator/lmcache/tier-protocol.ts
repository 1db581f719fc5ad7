import { z } from 'zod';

/**
 * What engine and cache server say to each other on the server's --port: one JSON object a line over TCP.
 * Requests carry an id and are answered in order; notices carry none. The first request of a connection registers it.
 * It is the simulator's own protocol; the real server speaks ZeroMQ there.
 */
const hashes = z.array(z.string().regex(/^[0-9a-f]{16}$/));
const index = z.number().int().nonnegative();
const seconds = z.number().nonnegative();

export const tierMessageSchema = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('register'),
    id: index,
    instance: z.string(),
    model: z.string(),
    kvBytesPerToken: z.number().positive(),
    kvPoolTokens: index,
    layers: index,
    /** Tokens of the engine's own chunks; left out where the server decides. */
    chunkTokens: index.optional(),
  }),
  z.object({ op: z.literal('lookup'), id: index, hashes }),
  z.object({ op: z.literal('load'), id: index, hashes, fromChunk: index, toChunk: index }),
  /** A copy into the GPU that took `seconds` (simulated) on the copy stream. */
  z.object({ op: z.literal('loaded'), chunks: index, seconds: z.number().nonnegative() }),
  /** GPU blocks of the sample that hold other tokens now. */
  z.object({
    op: z.literal('blocks'),
    ages: z.array(z.object({ lifetime: seconds, idle: seconds, reuseGaps: z.array(seconds) })),
  }),
  z.object({ op: z.literal('store'), hashes, fromChunk: index, seconds: z.number().nonnegative() }),
]);
export type TierMessage = z.infer<typeof tierMessageSchema>;

export const tierReplySchema = z.object({
  id: index,
  chunkTokens: index.optional(),
  /** Part of its GPU blocks whose ages the server wants to know; none if left out. */
  blockSampleRate: z.number().min(0).max(1).optional(),
  chunks: index.optional(),
  l2Seconds: z.number().nonnegative().optional(),
});
export type TierReply = z.infer<typeof tierReplySchema>;

/** Longer lines are not ours: 1 MiB is a prompt of over ten million tokens. */
const LONGEST_LINE = 1024 * 1024;

/**
 * Cuts a stream into lines.
 * @returns a function to feed with what arrives; it throws when a line grows beyond 1 MiB.
 */
export function lineSplitter(onLine: (line: string) => void): (data: string) => void {
  let rest = '';
  return (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST_LINE)
      throw new Error('a line of more than 1 MiB arrived; the peer does not speak this protocol');
    for (const line of lines) onLine(line);
  };
}
