import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Helpers would share the core with the thread that waits for them, as a program's threads do.
setFlagsFromString('--no-parallel-scavenge');
setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('globalThis.gc');

/**
 * Frees what was made since the last collection and is not used any more, in half a millisecond or so: at a moment of one's
 * own choosing, where V8 would choose the middle of a step's tokens, and while there is little to free, where V8 would let
 * it grow over megabytes whose pages are long since cold.
 */
export function collectYoungGeneration(): void {
  if (typeof collect === 'function') collect({ type: 'minor' });
}
