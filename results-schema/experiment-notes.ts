import { z } from 'zod';
import { simulatedSchema } from './run-record.js';

/**
 * `{name}.json` beside a test function's `{name}.csv`: what its nine columns have no room for. Readers of the CSV do
 * not need it, but without it a report can neither name the engines nor tell a simulated run from a real one.
 */
export const experimentNotesSchema = z.object({
  schemaVersion: z.literal(1),
  testFunction: z.string(),
  /** null: each engine has its own. */
  model: z.string().nullable(),
  /** null: real engines. */
  simulated: simulatedSchema.nullable(),
  experiments: z.array(
    z.object({
      /** The CSV's `expr_id`. */
      id: z.int().nonnegative(),
      /** What tells it from the others, e.g. `context 8192, 10 requests`. */
      title: z.string(),
      /** The CSV's `engine_id`s, in their order. */
      engines: z.array(z.object({ id: z.int().nonnegative(), name: z.string() })),
      /** Why it failed; null: it did not. */
      failure: z.string().nullable(),
      /** Requests that were sent too late for their figures to count: the client had too little of the machine. */
      clientOverloaded: z.boolean().optional(),
      /** Where the simulator ran at another speed than `simulated` says: it was measured again, on a busy machine. */
      simulatedSpeed: z.number().positive().optional(),
    }),
  ),
  /** How to run it again. */
  run: z
    .object({
      startedAt: z.iso.datetime(),
      finishedAt: z.iso.datetime(),
      /** Of this project. */
      version: z.string(),
      /** The file of the test function. */
      file: z.string(),
      /** Decides every prompt: `--seed`. */
      seed: z.int().nonnegative(),
      /** By `engine_id`, of the first experiment: what each engine said it is, and how it was started. */
      engines: z.array(
        z.object({ id: z.int().nonnegative(), version: z.string().nullable(), command: z.array(z.string()) }),
      ),
    })
    .optional(),
});
export type ExperimentNotes = z.infer<typeof experimentNotesSchema>;
