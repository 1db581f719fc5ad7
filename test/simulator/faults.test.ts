import { describe, expect, it } from 'vitest';
import { disturbed } from '../../simulator/disturbance.js';
import { FAULT_PATTERN, FAULTS, parseFaults, type SimFaults } from '../../simulator/faults.js';
import { loadProfile } from '../../simulator/profiles.js';
import { RequestFaults } from '../../simulator/request-faults.js';

const names = (text: string, ...rest: [Parameters<typeof parseFaults>[1], boolean?]) => parseFaults(text, ...rest).text;

describe('a list of faults', () => {
  it('goes to the server it names; without a name to engines, and to the cache server only what is its own', () => {
    const list = 'slower=20,no-cache,lmcache:crash-after=3,baseline:noise=5';
    expect(names(list, 'vllm')).toBe('slower=20,no-cache');
    expect(names(list, 'baseline')).toBe('slower=20,no-cache,noise=5');
    expect(names(list, 'lmcache')).toBe('no-cache,crash-after=3');
    expect(names('crash-after=3', 'lmcache', true)).toBe('crash-after=3');
  });

  it.each(['', 'none', ' none '])('%j is none', (text) => {
    expect(parseFaults(text, 'vllm')).toEqual({ values: new Map(), text: 'none' });
  });

  it.each([
    ['wrong-text-from-cache', 'wrong-text-from-cache', 100],
    ['wrong-text-from-cache=30', 'wrong-text-from-cache', 30],
    ['wrong-text-from-cache=30%', 'wrong-text-from-cache', 30],
    ['slow-start=2.5', 'slow-start', 2.5],
    ['oom-at-start', 'oom-at-start', 1],
  ] as const)('%s has its number', (text, name, value) => {
    expect(parseFaults(text, 'vllm').values.get(name)).toBe(value);
  });

  it.each([
    'flood',
    'crash-after',
    'crash-after=1.5',
    'crash-after=-1',
    'no-cache=1',
    'garbage=101',
    'slower',
    'slower=1e3',
    'gpu:slower=3',
    'slower=3;noise=2',
  ])('%j is refused, by name', (text) => {
    expect(() => parseFaults(text, 'vllm')).toThrow(`SIM_FAULT is "${text}"`);
  });

  it('matches the pattern of the settings exactly where it parses', () => {
    for (const [name, spec] of Object.entries(FAULTS)) {
      const text = spec.value === 'flag' ? name : `${name}=7`;
      expect(FAULT_PATTERN.test(`vllm:${text},no-cache`), text).toBe(true);
      expect(() => parseFaults(text, 'vllm')).not.toThrow();
    }
    for (const text of ['', 'flood', 'crash-after', 'no-cache,', 'gpu:slower=3']) {
      expect(FAULT_PATTERN.test(text), text).toBe(false);
    }
  });
});

describe('faults of time', () => {
  const model = loadProfile('h200').stepTime('Qwen/Qwen3-14B', { connector: false });
  const step = { prefills: [], decodes: [{ contextTokens: 2000 }] };
  const sound = model.stepSeconds(step);
  const factors = (text: string, steps: number, salt = 1): number[] => {
    const faults = parseFaults(text, 'vllm');
    const slow = disturbed(model, () => faults, salt);
    return Array.from({ length: steps }, () => slow.stepSeconds(step) / sound);
  };
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = (values: readonly number[]): number => {
    const centre = mean(values);
    return Math.sqrt(mean(values.map((value) => (value - centre) ** 2)));
  };
  /** Correlation of each value with the next one. */
  const memory = (values: readonly number[]): number => {
    const centre = mean(values);
    const variance = deviation(values) ** 2;
    const pairs = values.slice(1).map((value, index) => (value - centre) * ((values[index] ?? 0) - centre));
    return mean(pairs) / variance;
  };

  it('leave a sound engine alone', () => {
    expect(factors('none', 3)).toEqual([1, 1, 1]);
    expect(factors('crash-after=3', 3).every((factor) => Math.abs(factor - 1) < 1e-12)).toBe(true);
  });

  it('slow down by just so much', () => {
    expect(factors('slower=25', 1)[0]).toBeCloseTo(1.25, 10);
  });

  it('are noisy with mean 1 and the deviation asked for, one step forgetting the other', () => {
    const noisy = factors('noise=20', 20_000);
    expect(mean(noisy)).toBeCloseTo(1, 2);
    expect(deviation(noisy)).toBeCloseTo(0.2, 2);
    expect(Math.abs(memory(noisy))).toBeLessThan(0.05);
    expect(Math.min(...noisy)).toBeGreaterThan(0);
  });

  it('are correlated over a second of steps', () => {
    const noisy = factors('correlated-noise=20', 50_000);
    expect(deviation(noisy)).toBeCloseTo(0.2, 1);
    expect(memory(noisy)).toBeGreaterThan(0.95);
  });

  it('drift with the minutes of steps', () => {
    const minute = Math.round(60 / sound);
    expect(factors('drift=10', minute + 1).at(-1)).toBeCloseTo(1.1, 3);
  });

  it('have outliers', () => {
    const long = factors('outliers=5', 10_000).filter((factor) => factor > 5).length;
    expect(long / 10_000).toBeCloseTo(0.05, 2);
  });

  it('repeat for the same seed, and differ for another one and for another server', () => {
    expect(factors('noise=10,seed=4', 50)).toEqual(factors('noise=10,seed=4', 50));
    expect(factors('noise=10,seed=4', 50)).not.toEqual(factors('noise=10,seed=5', 50));
    expect(factors('noise=10,seed=4', 50)).not.toEqual(factors('noise=10,seed=4', 50, 2));
  });
});

describe('requests that a fault strikes', () => {
  it('are counted from the moment the fault was set', () => {
    let present: SimFaults = parseFaults('none', 'vllm');
    const faults = new RequestFaults(() => present);
    for (let request = 0; request < 5; request += 1) faults.count();
    present = parseFaults('crash-after=1', 'vllm');
    faults.count();
    expect(() => faults.dieIfDue('it')).not.toThrow();
    faults.count();
    expect(() => faults.dieIfDue('it')).toThrow('SIM_FAULT=crash-after=1: it dies now');
  });

  it('are drawn by lot in the share asked for', () => {
    const present = parseFaults('garbage=30,seed=2', 'vllm');
    const faults = new RequestFaults(() => present);
    const struck = Array.from({ length: 5000 }, () => faults.strikes('garbage')).filter(Boolean).length;
    expect(struck / 5000).toBeCloseTo(0.3, 1);
    expect(faults.strikes('http-503')).toBe(false);
  });
});
