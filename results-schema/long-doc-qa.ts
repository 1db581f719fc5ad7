import { z } from 'zod';
import { simulatedSchema } from './run-record.js';

/**
 * `long_doc_qa/{baseline,lmcache}_result.json`: the line that LMCache's long_doc_qa prints with `--json-output`,
 * alone in its file and on one line, since consumers of the original suite parse the last line.
 * All values in seconds.
 */
export const longDocResultSchema = z.looseObject({
  /** Trimmed mean over the successful query requests. */
  query_ttft_per_prompt: z.number().nonnegative(),
  /** Wall time of the query round / its prompts. */
  query_round_time_per_prompt: z.number().nonnegative(),
  /** Wall time of the warm-up round / documents. */
  warmup_round_time_per_prompt: z.number().nonnegative(),
  /** Present only on the simulator. */
  simulated: simulatedSchema.nullable().optional(),
});

const secondsText = z.string().regex(/^-?\d+(\.\d+)?(e-?\d+)?$/, 'a number of seconds');
const flagText = z.enum(['True', 'False']);

/**
 * One row of `warmup_round.csv` or `query_round.csv` as long_doc_qa writes them; times in seconds since the
 * round's start, `ttft` -1 where no token came. The query file has `is_miss` before `ttft_time`.
 */
export const longDocRowSchema = z.object({
  prompt_id: z.string().regex(/^\d+$/, 'a whole number'),
  request_start: secondsText,
  ttft: secondsText,
  request_end: secondsText,
  successful: flagText,
  ttft_time: secondsText,
  is_miss: flagText,
});
