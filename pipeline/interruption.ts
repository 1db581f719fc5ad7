import { setMaxListeners } from 'node:events';
import { type InterruptSignal, interruptExitCodes } from '../results-schema/interrupt-signals.js';

/** The reason an interrupted run's AbortSignal carries. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signalName: InterruptSignal;

  constructor(signalName: InterruptSignal) {
    super(`Interrupted by ${signalName}.`);
    this.signalName = signalName;
  }
}

export interface Interruption {
  readonly signal: AbortSignal;
  /** The signal that came first, null while none did. */
  interruptedBy(): InterruptSignal | null;
  /** Stops listening: the process has its default signal handling again. */
  dispose(): void;
}

/**
 * SIGINT, SIGTERM and SIGHUP abort the run once; later ones change nothing, for cleaning up must finish.
 * @param onSignal tells the person what happens now; `first` is false when they are impatient.
 */
export function listenForInterruption(onSignal: (name: InterruptSignal, first: boolean) => void): Interruption {
  const controller = new AbortController();
  // Every request in flight listens to it: hundreds are no leak.
  setMaxListeners(0, controller.signal);
  let first: InterruptSignal | null = null;
  const names = Object.keys(interruptExitCodes) as InterruptSignal[];
  const listeners = names.map((name) => {
    const listener = () => {
      const isFirst = first === null;
      first ??= name;
      onSignal(name, isFirst);
      if (isFirst) controller.abort(new InterruptedError(name));
    };
    process.on(name, listener);
    return { name, listener };
  });
  return {
    signal: controller.signal,
    interruptedBy: () => first,
    dispose: () => {
      for (const { name, listener } of listeners) process.off(name, listener);
    },
  };
}
