import { afterEach, describe, expect, it } from 'vitest';
import { InterruptedError, type Interruption, listenForInterruption } from '../../pipeline/interruption.js';

let interruption: Interruption | undefined;
afterEach(() => interruption?.dispose());

/** Calls our own listener, the newest, and nobody else's. */
function receive(name: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  process.listeners(name).at(-1)?.(name);
}

describe('listenForInterruption', () => {
  it('aborts once, by the first signal; later ones only tell the person', () => {
    const told: [string, boolean][] = [];
    interruption = listenForInterruption((name, first) => told.push([name, first]));
    expect(interruption.interruptedBy()).toBeNull();
    for (const name of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) receive(name);
    expect(interruption.interruptedBy()).toBe('SIGTERM');
    expect(interruption.signal.reason).toBeInstanceOf(InterruptedError);
    expect(interruption.signal.reason).toMatchObject({ signalName: 'SIGTERM', message: 'Interrupted by SIGTERM.' });
    expect(told).toEqual([
      ['SIGTERM', true],
      ['SIGINT', false],
      ['SIGTERM', false],
      ['SIGHUP', false],
    ]);
  });

  it('stops listening when it is disposed of', () => {
    const count = () => (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => process.listenerCount(name));
    const before = count();
    interruption = listenForInterruption(() => {});
    expect(count()).toEqual(before.map((listeners) => listeners + 1));
    interruption.dispose();
    expect(count()).toEqual(before);
  });
});
