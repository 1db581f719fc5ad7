import { z } from 'zod';

/** `orchestrator-lost.json`: written by the keeper when the process that ran the tests vanished without a word. */
export const orchestratorLostSchema = z.object({
  buildId: z.string(),
  at: z.iso.datetime(),
  reason: z.literal('infrastructure'),
  cause: z.literal('orchestrator-lost'),
  message: z.string(),
  orchestrator: z.object({ pid: z.int().positive(), startTime: z.number().nonnegative() }),
  /** What the keeper then found and did. */
  removed: z.array(z.string()),
  forced: z.array(z.string()),
  problems: z.array(z.string()),
});
export type OrchestratorLost = z.infer<typeof orchestratorLostSchema>;
