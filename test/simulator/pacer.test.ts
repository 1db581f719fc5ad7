import { performance } from 'node:perf_hooks';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RealTimeClock } from '../../simulator/clock.js';
import { Pacer } from '../../simulator/engine/pacer.js';
import { collectYoungGeneration } from '../../simulator/young-generation.js';

vi.mock('../../simulator/young-generation.js', { spy: true });

const wake = (pacer: Pacer, at: number): Promise<number> =>
  new Promise((resolve) => {
    pacer.wakeAt(at, () => resolve(pacer.now()));
  });

describe('RealTimeClock', () => {
  it('runs at its speed and does not jump when the speed changes', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    try {
      const clock = new RealTimeClock(10);
      now.mockReturnValue(1500);
      expect(clock.now()).toBe(5);
      expect(clock.wallMsUntil(6)).toBe(100);
      clock.setSpeed(2);
      expect(clock.now()).toBe(5);
      now.mockReturnValue(2500);
      expect(clock.now()).toBe(7);
      expect(clock.wallMsUntil(6)).toBe(-500);
    } finally {
      now.mockRestore();
    }
  });
});

describe('Pacer', () => {
  it('never wakes early, whatever the length of the wait', async () => {
    const pacer = new Pacer(new RealTimeClock(10));
    for (const waitSeconds of [0.0005, 0.003, 0.011, 0.035, 0.2]) {
      const at = pacer.now() + waitSeconds;
      // 0.02 ms of wall time count as due.
      expect(await wake(pacer, at)).toBeGreaterThanOrEqual(at - 0.00021);
    }
  });

  it('keeps an absolute schedule: one late wake-up does not move the next', async () => {
    const clock = new RealTimeClock(10);
    const pacer = new Pacer(clock);
    const start = clock.now();
    const latenessMs: number[] = [];
    for (let step = 1; step <= 60; step += 1) {
      const at = start + step * 0.02;
      latenessMs.push(((await wake(pacer, at)) - at) * 100);
      if (step === 20) {
        const until = performance.now() + 9;
        while (performance.now() < until);
      }
    }
    latenessMs.sort((left, right) => left - right);
    // Other processes may delay some wake-ups; the typical one is on time, so nothing has accumulated.
    expect(latenessMs[Math.floor(latenessMs.length * 0.25)]).toBeLessThan(0.5);
  });

  it('lets the event loop serve others while it waits', async () => {
    const pacer = new Pacer(new RealTimeClock(1));
    let turns = 0;
    let waiting = true;
    const count = (): void => {
      turns += 1;
      if (waiting) setImmediate(count);
    };
    setImmediate(count);
    await wake(pacer, pacer.now() + 0.01);
    waiting = false;
    expect(turns).toBeGreaterThan(5);
  });

  it('does not nap while the event loop has something to do', async () => {
    class NearlyDue extends RealTimeClock {
      override wallMsUntil(): number {
        return 1;
      }
    }
    const pacer = new Pacer(new NearlyDue(1));
    const nap = vi.spyOn(Atomics, 'wait');
    onTestFinished(() => {
      nap.mockRestore();
      pacer.cancelWake();
    });
    const napsIn20Turns = async (workMs: number): Promise<number> => {
      nap.mockClear();
      for (let turn = 0; turn < 20; turn += 1) {
        const until = performance.now() + workMs;
        while (performance.now() < until);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return nap.mock.calls.length;
    };
    pacer.wakeAt(1, () => undefined);
    expect(await napsIn20Turns(0)).toBeGreaterThan(0);
    expect(await napsIn20Turns(0.2)).toBe(0);
  });

  it('forgets a wake-up that is replaced or cancelled', async () => {
    const pacer = new Pacer(new RealTimeClock(100));
    const called: string[] = [];
    pacer.wakeAt(pacer.now() + 0.01, () => called.push('replaced'));
    pacer.wakeAt(pacer.now() + 0.02, () => called.push('cancelled'));
    pacer.cancelWake();
    await wake(pacer, pacer.now() + 1);
    expect(called).toEqual([]);
  });

  it('begins a step by half of what its tokens take before its time, and never by more than half a millisecond', () => {
    const pacer = new Pacer(new RealTimeClock(10));
    const leadsMs = [1, 64, 512].map((tokens) => Math.round((pacer.leadSeconds(tokens) / 10) * 1e6) / 1000);
    expect(leadsMs).toEqual([0.03, 0.439, 0.5]);
  });

  it('collects short-lived garbage where there is time for it', () => {
    const pacer = new Pacer(new RealTimeClock(10));
    const collectsWithin = (idleSeconds: number): boolean => {
      vi.mocked(collectYoungGeneration).mockClear();
      pacer.idleUntil(pacer.now() + idleSeconds);
      return vi.mocked(collectYoungGeneration).mock.calls.length > 0;
    };
    expect([collectsWithin(1000), collectsWithin(0.01)]).toEqual([true, false]);
  });

  it('follows a change of speed', async () => {
    const clock = new RealTimeClock(0.01);
    const pacer = new Pacer(clock);
    const woken = wake(pacer, 1);
    clock.setSpeed(1000);
    pacer.rearm();
    expect(await woken).toBeGreaterThanOrEqual(0.97);
  });
});
