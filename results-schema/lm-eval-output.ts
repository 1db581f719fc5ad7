import { z } from 'zod';
import { ownNotesSchema } from './own-notes.js';

/**
 * One line of `samples_<task>_<time>.jsonl` as lm_eval 0.4 writes it with `--log_samples`: one a document
 * and filter. `resps` are the raw texts, `filtered_resps` what the filter made of them.
 */
export const lmEvalSampleSchema = z.looseObject({
  doc_id: z.int().nonnegative(),
  doc: z.record(z.string(), z.unknown()),
  target: z.union([z.string(), z.number()]),
  arguments: z.looseObject({
    gen_args_0: z.looseObject({
      /** The prompt. */
      arg_0: z.union([z.string(), z.array(z.unknown())]),
      /** Generation arguments: until, temperature, max_gen_toks, ... */
      arg_1: z.record(z.string(), z.unknown()),
    }),
  }),
  resps: z.array(z.array(z.string())),
  filtered_resps: z.array(z.union([z.string(), z.array(z.string())])),
  filter: z.string(),
  metrics: z.array(z.string()),
  doc_hash: z.string(),
  prompt_hash: z.string(),
  target_hash: z.string(),
  /** The score, under the task's metric. */
  exact_match: z.number().optional(),
});
export type LmEvalSample = z.infer<typeof lmEvalSampleSchema>;

/** `results_<time>.json` of lm_eval 0.4; only what is read here is named, keys are `<metric>,<filter>`. */
export const lmEvalResultsSchema = z.looseObject({
  results: z.record(z.string(), z.record(z.string(), z.unknown())),
  /** Present only where we wrote the file in lm_eval's stead. */
  lmcache_ci: ownNotesSchema.optional(),
});
