import { constants, setPriority } from 'node:os';

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
