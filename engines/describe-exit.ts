import type { EngineExit } from './engine-state.js';

/** How an engine ended, in words: `ended by SIGKILL, out of memory`. */
export function describeExit(exit: EngineExit): string {
  const how =
    exit.signal !== null
      ? `ended by ${exit.signal}`
      : exit.code !== null
        ? `ended with exit code ${exit.code}`
        : 'is gone, how it ended is not known';
  return `${how}${exit.outOfMemory ? ', out of memory' : ''}${exit.daemonLost ? ', after its Docker daemon had gone' : ''}`;
}
