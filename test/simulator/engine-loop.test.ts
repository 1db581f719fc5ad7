import { describe, expect, it } from 'vitest';
import type { ApiSeconds, EngineStep, LmcacheConnector, StepTimeModel } from '../../simulator/contracts.js';
import type { StepReport } from '../../simulator/engine/engine-listener.js';
import { EngineLoop } from '../../simulator/engine/engine-loop.js';
import type { SchedulerLimits } from '../../simulator/engine/scheduler.js';
import { Sequence } from '../../simulator/engine/sequence.js';
import { VirtualClock } from '../../simulator/study/virtual-clock.js';

const LIMITS = {
  maxNumBatchedTokens: 1000,
  maxNumSeqs: 8,
  maxModelLen: 4000,
  blockTokens: 16,
  blockCount: 1000,
  prefixCaching: true,
};

/** 1 s a thousand prompt tokens, 0.01 s a step of decoding alone; the API takes 0.1 s, delivery 0.002 s. */
const STEP_TIME: StepTimeModel = {
  stepSeconds: ({ prefills }: EngineStep) => 0.01 + prefills.reduce((sum, { newTokens }) => sum + newTokens / 1000, 0),
  launchSeconds: () => 0.002,
  apiSeconds: () => ({ reading: 0.1, tokenising: 0, rest: 0 }),
  apiScatter: 0,
  lookupSeconds: () => 0,
  deliverySeconds: 0.002,
  warmUpSeconds: 1,
  kvBytesPerToken: 1,
  weightBytes: 0,
  kvPoolTokens: () => 16_000,
};

function setUp(
  connector: LmcacheConnector | null = null,
  changes: Partial<SchedulerLimits & StepTimeModel> = {},
  onLoadFailed: (sequence: Sequence, lostTokens: number) => void = () => undefined,
) {
  const clock = new VirtualClock();
  const tokens: { readonly name: number; readonly at: number; readonly seen: number }[] = [];
  const steps: StepReport[] = [];
  /** When the tokens of each step were due. */
  const left: number[] = [];
  const failures: unknown[] = [];
  const loop = new EngineLoop({
    limits: { ...LIMITS, ...changes },
    stepTime: { ...STEP_TIME, ...changes },
    clock,
    connector,
    listener: {
      onToken: (sequence, at) => tokens.push({ name: sequence.promptIds[0] ?? 0, at, seen: clock.now() }),
      onStep: (report) => {
        steps.push(report);
        left.push(clock.now());
      },
      onLoadFailed,
      onFatal: (error) => failures.push(error),
    },
  });
  const sequence = (name: number, promptTokens: number, outputTokens: number): Sequence =>
    new Sequence(
      {
        promptIds: [name, ...new Array<number>(promptTokens - 1).fill(5)],
        maxTokens: outputTokens,
        minTokens: 0,
        ignoreEos: true,
        eosTokenId: 0,
        openStream: () => ({ tokenAt: (position) => position, length: 1e9 }),
      },
      LIMITS.blockTokens,
    );
  return { clock, loop, tokens, steps, left, failures, sequence };
}

const round = (value: number): number => Math.round(value * 1e6) / 1e6;

/** A cache tier that has the first `hit` tokens of everything and loads them in `seconds`. */
function tier(hit: number, seconds: number, lost = false) {
  const stored: [number, number][] = [];
  const connector: LmcacheConnector = {
    storesDecoded: true,
    loadsBlock: false,
    chunkTokens: 256,
    lookup: async (ids) => Math.min(hit, Math.floor((ids.length - 1) / 256) * 256),
    load: async (_, hitTokens, localTokens = 0) => ({ seconds, loadedTokens: lost ? localTokens : hitTokens }),
    store: (ids, from) => stored.push([from, ids.length]),
    close: async () => undefined,
  };
  return { connector, stored };
}

describe('EngineLoop', () => {
  it('runs a request through API, prefill and decoding at the times the model gives', async () => {
    const { clock, loop, tokens, steps, sequence } = setUp();
    clock.at(1, () => loop.submit([sequence(1, 500, 3)], 1));
    await clock.run();
    expect(tokens.map(({ at }) => round(at))).toEqual([1.61, 1.62, 1.63]);
    expect(tokens.map(({ seen }) => round(seen))).toEqual([1.612, 1.622, 1.632]);
    expect(steps.map(({ promptTokens, generatedTokens }) => [promptTokens, generatedTokens])).toEqual([
      [500, 1],
      [0, 1],
      [0, 1],
    ]);
  });

  it('has the API process read all that came together first, then tokenise one after the other', async () => {
    const queuedWith = async (seconds: ApiSeconds, arrivals: readonly number[], apiScatter = 0) => {
      const { clock, loop, sequence } = setUp(null, { apiSeconds: () => seconds, apiScatter });
      const sequences = arrivals.map((at, index) => {
        const one = sequence(index, 10, 1);
        clock.at(at, () => loop.submit([one], at));
        return one;
      });
      await clock.run();
      return sequences.map(({ times }) => round(times.queued));
    };
    expect(await queuedWith({ reading: 0.1, tokenising: 0, rest: 0.05 }, [0, 0, 0])).toEqual([0.35, 0.35, 0.35]);
    expect(await queuedWith({ reading: 0, tokenising: 0.1, rest: 0.05 }, [0, 0, 0])).toEqual([0.15, 0.25, 0.35]);
    expect(await queuedWith({ reading: 0.1, tokenising: 0.3, rest: 0 }, [0, 0.2, 2])).toEqual([0.4, 0.7, 2.4]);
    // One that is due already is not held up by one that comes later.
    expect(await queuedWith({ reading: 1, tokenising: 0, rest: 0 }, [0, 1.5])).toEqual([1, 2.5]);
    const [one = 0, two = 0] = await queuedWith({ reading: 0, tokenising: 1, rest: 0 }, [0, 5], 0.2);
    expect(Math.abs(one - 1)).toBeLessThanOrEqual(0.2);
    expect(one).not.toBe(two - 5);
  });

  it('counts real work since the arrival as a part of the API time', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    clock.at(0.09, () => loop.submit([sequence(1, 10, 1)], 0));
    await clock.run();
    expect(round(tokens[0]?.at ?? 0)).toBe(0.12);
  });

  it('makes tokens ready before they are due, so that they leave when they are', async () => {
    const { clock, loop, tokens, left, sequence } = setUp();
    Object.assign(clock, { preparationSeconds: (count: number) => count * 0.003 });
    clock.at(0, () => loop.submit([sequence(1, 10, 2)], 0));
    await clock.run();
    expect(tokens.map(({ at }) => round(at))).toEqual([0.12, 0.13]);
    expect(tokens.map(({ seen }) => round(seen))).toEqual([0.119, 0.129]);
    expect(left.map(round)).toEqual([0.122, 0.132]);
  });

  it('lets the tokens of a step leave around their time, which takes the longer the more they are', async () => {
    const { clock, loop, left, sequence } = setUp();
    Object.assign(clock, { leadSeconds: (count: number) => count * 0.001 });
    clock.at(0, () => loop.submit([sequence(1, 10, 3), sequence(2, 10, 2)], 0));
    await clock.run();
    expect(left.map(round)).toEqual([0.13, 0.14, 0.151]);
  });

  it('says once a step until when nothing is to be done, unless a request is being read', async () => {
    const { clock, loop, sequence } = setUp();
    const idle: string[] = [];
    const idleUntil = (time: number): void => void idle.push(`${round(clock.now())} to ${round(time)}`);
    Object.assign(clock, { idleUntil, preparationSeconds: () => 0.004 });
    clock.at(0, () => loop.submit([sequence(1, 10, 4)], 0));
    clock.at(0.115, () => loop.catchUp());
    clock.at(0.131, () => {
      const read = loop.announce(0.131);
      clock.at(0.135, read);
    });
    await clock.run();
    expect(idle).toEqual(['0.1 to 0.118', '0.122 to 0.128', '0.142 to 0.148']);
  });

  it('keeps the schedule when the process is late', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    clock.at(0, () => loop.submit([sequence(1, 10, 5)], 0));
    // Nothing is delivered between 0.13 and 0.2: the wake-up comes late, as when the process is busy.
    const wakeAt = clock.wakeAt.bind(clock);
    clock.wakeAt = (time, callback) => wakeAt(time > 0.13 && time < 0.2 ? 0.2 : time, callback);
    await clock.run();
    expect(tokens.map(({ at }) => round(at))).toEqual([0.12, 0.13, 0.14, 0.15, 0.16]);
    expect(tokens.map(({ seen }) => round(seen))).toEqual([0.122, 0.2, 0.2, 0.2, 0.2]);
  });

  it('lets the event loop run between steps that are late', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    const only = sequence(1, 10, 100);
    clock.at(0, () => loop.submit([only], 0));
    const wakeAt = clock.wakeAt.bind(clock);
    clock.wakeAt = (time, callback) => {
      if (clock.now() >= 0.5) setImmediate(() => loop.finish(only, 'abort'));
      wakeAt(time > 0.13 && time < 0.5 ? 0.5 : time, callback);
    };
    await clock.run();
    expect(tokens.map(({ seen }) => round(seen))).toEqual([0.122, 0.5]);
  });

  it('takes a request that arrives during a step into the next one, not into the running one', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    clock.at(0, () => loop.submit([sequence(1, 1000, 2)], 0));
    clock.at(0.3, () => loop.submit([sequence(2, 100, 1)], 0.3));
    await clock.run();
    expect(tokens.map(({ name, at }) => [name, round(at)])).toEqual([
      [1, 1.11],
      // First tokens are sent first.
      [2, 1.22],
      [1, 1.22],
    ]);
  });

  it('waits with a step for a request that is still being read', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    clock.at(0, () => loop.submit([sequence(1, 10, 20)], 0));
    let arrived = (): void => undefined;
    clock.at(0.001, () => {
      arrived = loop.announce(0.001);
    });
    // Its body takes longer to read than its API time; steps after 0.101 wait for it.
    clock.at(0.2, () => {
      loop.submit([sequence(2, 10, 1)], 0.001);
      arrived();
    });
    await clock.run();
    expect(round(tokens.find(({ name }) => name === 2)?.at ?? 0)).toBe(0.22);
    expect(round(tokens.at(-1)?.at ?? 0)).toBe(0.32);
  });

  it('gives nobody a token while a lookup waits for a cache server that has died', async () => {
    let blockedSeconds = 0;
    const { clock, loop, tokens, sequence } = setUp({
      ...tier(0, 0).connector,
      takeBlockedSeconds: () => {
        const taken = blockedSeconds;
        blockedSeconds = 0;
        return taken;
      },
    });
    clock.at(0, () => loop.submit([sequence(1, 300, 30)], 0));
    clock.at(0.45, () => {
      blockedSeconds = 10;
      loop.submit([sequence(2, 300, 1)], 0.45);
    });
    await clock.run();
    const of = (wanted: number) => tokens.filter(({ name }) => name === wanted).map(({ at }) => round(at));
    // Its first 15 tokens, then, when the other one's API time is over at 0.55, nothing until 10.55.
    expect(of(1).slice(0, 17)).toEqual([
      ...Array.from({ length: 15 }, (_, index) => round(0.41 + index / 100)),
      10.86,
      10.87,
    ]);
    expect(of(2)).toEqual([10.86]);
  });

  it('ends a sequence whose load is lost when that is noticed, and goes on with others meanwhile', async () => {
    const lost: (readonly [number, number, number])[] = [];
    const { connector } = tier(512, 0);
    const { clock, loop, tokens, sequence } = setUp(
      { ...connector, load: async () => ({ seconds: 15, loadedTokens: 0, failed: true }) },
      {},
      (one, lostTokens) => {
        lost.push([one.promptIds[0] ?? 0, lostTokens, round(clock.now())]);
        loop.finish(one, 'error');
      },
    );
    const aborted = sequence(3, 600, 2);
    clock.at(0, () => loop.submit([sequence(1, 600, 2)], 0));
    clock.at(1, () => loop.submit([sequence(2, 100, 2)], 1));
    clock.at(2, () => loop.submit([aborted], 2));
    clock.at(3, () => loop.finish(aborted, 'abort'));
    await clock.run();
    expect(tokens.map(({ name, at }) => [name, round(at)])).toEqual([
      [2, 1.21],
      [2, 1.22],
    ]);
    expect(lost).toEqual([[1, 512, 15.1]]);
    expect(loop.unfinished).toBe(0);
  });

  it('asks for no wake-up when it has nothing to do', async () => {
    const { clock, loop, sequence } = setUp();
    clock.at(0, () => loop.submit([sequence(1, 10, 1)], 0));
    await clock.run();
    expect(loop.unfinished).toBe(0);
    let woken = false;
    clock.wakeAt = () => {
      woken = true;
    };
    loop.announce(clock.now())();
    expect(woken).toBe(false);
  });

  it('frees an aborted sequence at once, wherever it is', async () => {
    const { clock, loop, tokens, sequence } = setUp();
    const running = sequence(1, 100, 1000);
    const arriving = sequence(2, 100, 1000);
    clock.at(0, () => loop.submit([running], 0));
    clock.at(0.5, () => loop.submit([arriving], 0.5));
    clock.at(0.55, () => {
      loop.finish(running, 'abort');
      loop.finish(arriving, 'abort');
    });
    await clock.run();
    expect(loop.unfinished).toBe(0);
    expect(loop.scheduler.pool.usedBlocks).toBe(0);
    expect(tokens.every(({ name, at }) => name === 1 && at <= 0.56)).toBe(true);
  });

  it('stores each full chunk once, as soon as it is computed', async () => {
    const { connector, stored } = tier(0, 0);
    const { clock, loop, sequence } = setUp(connector);
    clock.at(0, () => loop.submit([sequence(1, 1100, 200)], 0));
    await clock.run();
    // 1,000 tokens in the first step, 100 in the second, then one a step up to 1,299.
    expect(stored).toEqual([
      [0, 768],
      [768, 1024],
      [1024, 1280],
    ]);
  });

  it('loads from the cache tier while others decode, and does not store again what it loaded', async () => {
    const { connector, stored } = tier(512, 0.5);
    const { clock, loop, tokens, sequence } = setUp(connector);
    const hit = sequence(1, 612, 1);
    clock.at(0, () => loop.submit([hit], 0));
    clock.at(0, () => loop.submit([sequence(2, 100, 30)], 0));
    await clock.run();
    expect(hit.externalHitTokens).toBe(512);
    const decoding = tokens.filter(({ name, at }) => name === 2 && at > 0.1 && at < 0.6);
    expect(decoding.length).toBeGreaterThan(20);
    // Due 0.5 s after it was asked for at 0.2, seen by the step after that; then 100 tokens are left to compute.
    const first = tokens.find(({ name }) => name === 1)?.at ?? 0;
    expect(first).toBeGreaterThan(0.8);
    expect(first).toBeLessThan(0.85);
    expect(stored).toEqual([]);
  });

  it('runs no step while it waits for lookups, one after the other', async () => {
    const longestGap = async (newcomers: number, lookupSeconds: number): Promise<number> => {
      const { clock, loop, tokens, sequence } = setUp(tier(0, 0).connector, {
        lookupSeconds: () => lookupSeconds,
        apiSeconds: () => ({ reading: 0, tokenising: 0, rest: 0.1 }),
      });
      clock.at(0, () => loop.submit([sequence(1, 100, 100)], 0));
      clock.at(0.5, () => {
        for (let name = 2; name < 2 + newcomers; name += 1) loop.submit([sequence(name, 300, 1)], 0.5);
      });
      await clock.run();
      const times = tokens.filter(({ name }) => name === 1).map(({ at }) => at);
      return round(Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? 0))));
    };
    // A step with the newcomer's prompt, and its lookup before it.
    expect(await longestGap(1, 0)).toBe(0.31);
    expect(await longestGap(1, 0.2)).toBe(0.51);
    expect(await longestGap(2, 0.2)).toBe(1.01);
  });

  it('holds every sequence up while an engine loads by itself, and computes the loaded one in the next step', async () => {
    const beside = async (loadsBlock: boolean) => {
      const { clock, loop, tokens, sequence } = setUp({ ...tier(512, 0.5).connector, loadsBlock }, { loadsBlock });
      clock.at(0, () => loop.submit([sequence(1, 100, 100)], 0));
      clock.at(0.5, () => loop.submit([sequence(2, 600, 1)], 0.5));
      await clock.run();
      const times = tokens.filter(({ name }) => name === 1).map(({ at }) => at);
      const longest = Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? 0)));
      return {
        longest: round(longest),
        first: tokens.find(({ name }) => name === 2)?.at ?? 0,
        last: times.at(-1) ?? 0,
      };
    };
    const [held, free] = [await beside(true), await beside(false)];
    // The load, then a step with 88 tokens of the loaded prompt.
    expect(held.longest).toBeCloseTo(0.5 + 0.01 + 0.088, 6);
    expect(free.longest).toBeCloseTo(0.01 + 0.088, 6);
    expect(held.first).toBeCloseTo(free.first, 1);
    expect(held.last - free.last).toBeCloseTo(0.5, 1);
  });

  it('recomputes what the cache tier lost between answer and load', async () => {
    const { connector, stored } = tier(512, 0.01, true);
    const { clock, loop, tokens, sequence } = setUp(connector);
    const one = sequence(1, 612, 1);
    clock.at(0, () => loop.submit([one], 0));
    await clock.run();
    expect(one.cachedTokens).toBe(0);
    expect(round(tokens[0]?.at ?? 0)).toBe(round(0.1 + 0.01 + 0.01 + 0.612));
    expect(stored).toEqual([[0, 512]]);
  });

  it('reports what breaks instead of going on', async () => {
    const broken: LmcacheConnector = { ...tier(0, 0).connector, lookup: () => Promise.reject(new Error('broken')) };
    const { clock, loop, failures, sequence } = setUp(broken);
    clock.at(0, () => loop.submit([sequence(1, 300, 1)], 0));
    await clock.run();
    expect(failures).toEqual([new Error('broken')]);
  });
});
