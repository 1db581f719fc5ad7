import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/**
 * Asks for the processor ahead of ordinary programs: at SIM_SPEED=10 a millisecond's wait for a core is ten simulated
 * ones, in a simulated server as in the client that measures it. Without the right to (root, CAP_SYS_NICE) nothing changes.
 */
export function raisePriority(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
  } catch {
    // An ordinary user's simulation is as exact as the machine is idle.
  }
}

/**
 * Makes V8's own threads, which compile and collect garbage, stand back behind the main one. Where they share its core,
 * each turn they get is up to 4 ms by which a step comes late; as the lowest of priorities they get few.
 */
export function putMainThreadFirst(): void {
  // Else the main thread would wait, in each collection, for threads that hardly run.
  setFlagsFromString('--no-parallel-scavenge');
  if (process.platform !== 'linux') return;
  for (const thread of readdirSync('/proc/self/task').map(Number)) {
    if (thread === process.pid) continue;
    try {
      setPriority(thread, constants.priority.PRIORITY_LOW);
    } catch {
      // It has ended meanwhile.
    }
  }
}
