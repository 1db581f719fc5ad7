import { z } from 'zod';
import { type Simulated, simulatedSchema } from './run-record.js';

/** Our own key, `lmcache_ci`, in files whose format is somebody else's: who measured, and on what. */
export interface OwnNotes {
  readonly client: string;
  /** null: a real server. */
  readonly simulated: Simulated | null;
}

/** Further notes pass through. */
export const ownNotesSchema: z.ZodType<OwnNotes> = z.looseObject({
  client: z.string(),
  simulated: simulatedSchema.nullable(),
});
