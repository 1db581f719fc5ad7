import { z } from 'zod';
import { simulatedSchema } from './run-record.js';

/** Our own key, `lmcache_ci`, in files whose format is somebody else's: who measured, and on what. */
export const ownNotesSchema = z.looseObject({
  client: z.string(),
  /** null: a real server. */
  simulated: simulatedSchema.nullable(),
});
