import { z } from 'zod';

/** `orchestrator-lost.json`: the run's own process vanished (kill -9, crash), and the keeper ended what it left. */
export const orchestratorLostSchema = z.object({
  buildId: z.string(),
  at: z.iso.datetime(),
  orchestratorPid: z.int().positive(),
  /** It lives, but let go of its keeper. */
  orchestratorAlive: z.boolean(),
  /** What the keeper then removed, what of it needed SIGKILL, and what it could not remove. */
  removed: z.array(z.string()),
  forced: z.array(z.string()),
  problems: z.array(z.string()),
});
export type OrchestratorLost = z.infer<typeof orchestratorLostSchema>;
