import { PassThrough } from 'node:stream';
import stripAnsi from 'strip-ansi';
import { describe, expect, it, vi } from 'vitest';
import { createLogGroups } from '../../ci/log-groups.js';
import { PlainReporter } from '../../pipeline/plain-reporter.js';
import { progressText, resultText } from '../../pipeline/reporter.js';
import { canRedraw, TtyReporter } from '../../pipeline/tty-reporter.js';
import { failed, passed } from './fake-run.js';

function plainReporter(provider: Parameters<typeof createLogGroups>[0]) {
  const lines: string[] = [];
  return { reporter: new PlainReporter(createLogGroups(provider), (line) => lines.push(stripAnsi(line))), lines };
}

describe('texts', () => {
  it('of progress and results are one line each', () => {
    expect(progressText({ task: 'prompt', done: 12, total: 50, figures: 'TTFT 0.15 s' })).toBe(
      'prompt 12/50, TTFT 0.15 s',
    );
    expect(progressText({ task: 'stopping engines' })).toBe('stopping engines');
    expect(progressText({ task: 'warm-up', done: 0, total: 0 })).toBe('warm-up');
    expect(resultText(passed)).toBe('passed');
    expect(resultText({ ...passed, message: '8 samples' })).toBe('8 samples');
    expect(resultText(failed)).toBe('failed (regression, threshold): too slow');
    expect(resultText({ outcome: 'skipped', why: 'no daemon' })).toBe('skipped: no daemon');
    expect(resultText({ outcome: 'inconclusive', reason: 'noise', message: 'x', verdicts: [] })).toBe(
      'inconclusive (noise): x',
    );
  });
});

describe('redrawing', () => {
  it.each([
    [{ isTTY: true, columns: 80 }, 'xterm', true],
    [{ isTTY: true, columns: 80 }, 'dumb', false],
    // ora would clear infinitely many rows.
    [{ isTTY: true, columns: 0 }, 'xterm', false],
    [{ isTTY: true }, 'xterm', false],
    [{}, 'xterm', false],
  ])('on %j with TERM=%s: %s', (stream, TERM, possible) => {
    expect(canRedraw(stream, { TERM })).toBe(possible);
  });
});

describe('plain lines', () => {
  it('name each step, and a failure once more as an error', () => {
    const { reporter, lines } = plainReporter('none');
    reporter.stepStarted('a', 'Step A');
    reporter.stepFinished('a', 'Step A', passed, 1.23);
    reporter.stepStarted('b', 'Step B');
    reporter.stepFinished('b', 'Step B', failed, 0.04);
    expect(lines).toEqual([
      '=== Step A (a) ===',
      '✅ Step A: passed (1.2 s)',
      '=== Step B (b) ===',
      '❌ Step B: failed (regression, threshold): too slow (0.0 s)',
      'ERROR: b: regression: too slow',
    ]);
  });

  it('tell progress when the task changes, when it is done, and every 5 s', () => {
    vi.useFakeTimers();
    try {
      const { reporter, lines } = plainReporter('none');
      reporter.stepStarted('a', 'A');
      for (let done = 0; done <= 100; done += 1) {
        reporter.progress('a', { task: 'prompts', done, total: 100 });
        vi.advanceTimersByTime(110);
      }
      reporter.progress('a', { task: 'reset' });
      expect(lines.slice(1)).toEqual([
        '  prompts 0/100',
        '  prompts 46/100',
        '  prompts 92/100',
        '  prompts 100/100',
        '  reset',
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('give no power to what an engine prints', () => {
    const { reporter, lines } = plainReporter('github-actions');
    reporter.log('a', '::error::not ours');
    reporter.log('a', '##[error]nor this');
    for (const line of lines) expect(line).not.toMatch(/^::|##\[/);
    reporter.warn(null, 'ours');
    expect(lines.at(-1)).toBe('::warning title=lmcache-ci::ours');
  });
});

describe('a terminal', () => {
  function terminal(color = false) {
    const stream = new PassThrough() as unknown as NodeJS.WriteStream;
    const written: string[] = [];
    stream.on('data', (chunk: Buffer) => written.push(chunk.toString()));
    const still = () => true;
    Object.assign(stream, {
      isTTY: true,
      columns: 100,
      rows: 40,
      cursorTo: still,
      clearLine: still,
      moveCursor: still,
    });
    return {
      reporter: new TtyReporter(stream, color),
      raw: () => written.join(''),
      text: () => stripAnsi(written.join('')),
    };
  }

  it('shows the step that goes on with its count and figures, and keeps a line for each that is over', () => {
    vi.useFakeTimers();
    try {
      const { reporter, text } = terminal();
      reporter.start(['header']);
      reporter.stepStarted('a', 'Step A');
      reporter.progress('a', { task: 'prompts', done: 3, total: 9, figures: 'TTFT 0.1 s' });
      vi.advanceTimersByTime(3000);
      reporter.log('a', 'a line that stays');
      reporter.warn('a', 'careful');
      reporter.stepFinished('a', 'Step A', passed, 3);
      reporter.stepStarted('b', 'Step B');
      reporter.stepFinished('b', 'Step B', failed, 0.1);
      expect(text()).toContain('header\n');
      expect(text()).toMatch(/Step A {2}prompts 3\/9, TTFT 0\.1 s {2}3 s/);
      expect(text()).toContain('a line that stays\n');
      expect(text()).toContain('warning a: careful\n');
      expect(text()).toContain('Step A: passed (3.0 s)');
      expect(text()).toContain('Step B: failed (regression, threshold): too slow (0.1 s)');
      // Nothing keeps the process alive.
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([true, false])('is painted only where colours are wanted (%s)', (color) => {
    const { reporter, raw } = terminal(color);
    reporter.warn('a', 'careful');
    reporter.stepStarted('a', 'Step A');
    reporter.stepFinished('a', 'Step A', passed, 3);
    expect(raw().includes('\u001b[33mwarning')).toBe(color);
    expect(raw().includes('\u001b[1mStep A')).toBe(color);
  });
});
