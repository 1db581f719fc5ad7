import { describe, expect, it } from 'vitest';
import { latenessOf } from '../../bench/simulator/lateness.js';

const STEP_MS = 10;
const STEPS = 1000;

/** `count` streams of which stream i begins `i` steps after the first; `lateMs` says by how much a token comes late. */
function streamsOf(count: number, lateMs: (step: number, stream: number) => number): Float64Array[] {
  return Array.from({ length: count }, (_, stream) =>
    Float64Array.from({ length: STEPS }, (_, token) => {
      const step = token + stream;
      return 500 + step * STEP_MS + lateMs(step, stream);
    }),
  );
}

describe('latenessOf', () => {
  it('finds no lateness in a schedule that is kept', () => {
    expect(
      latenessOf(
        streamsOf(4, () => 0),
        STEP_MS,
        0,
      ),
    ).toEqual({ p99: 0, firstP99: 0, lastP99: 0, drift: 0 });
  });

  it("tells a step's first token from its last one", () => {
    const { firstP99, lastP99 } = latenessOf(
      streamsOf(4, (_, stream) => 0.5 * stream),
      STEP_MS,
      0,
    );
    expect([firstP99, lastP99]).toEqual([0, 1.5]);
  });

  it('counts tokens that leave before their time, too, and knows how early a step begins', () => {
    const spread = streamsOf(4, (_, stream) => stream - 1.5);
    expect(latenessOf(spread, STEP_MS, 1.5)).toEqual({ p99: 1.5, firstP99: 1.5, lastP99: 1.5, drift: 0 });
    expect(latenessOf(spread, STEP_MS, 0.5)).toEqual({ p99: 2.5, firstP99: 0.5, lastP99: 2.5, drift: 0 });
  });

  it('counts stalls that are more than one step in a hundred, and no fewer', () => {
    const stalled = (every: number): number =>
      latenessOf(
        streamsOf(4, (step) => (step % every === 0 ? 7 : 0)),
        STEP_MS,
        0,
      ).firstP99;
    expect([stalled(50), stalled(200)]).toEqual([7, 0]);
  });

  it('does not take steps before the last stream began for the schedule', () => {
    const { p99 } = latenessOf(
      streamsOf(4, (step) => (step <= 3 ? -90 : 0)),
      STEP_MS,
      0,
    );
    expect(p99).toBe(0);
  });

  it('does not take the shorter steps after the first stream has ended for the schedule', () => {
    const { p99 } = latenessOf(
      streamsOf(4, (step) => Math.min(0, -7 * (step - STEPS + 1))),
      STEP_MS,
      0,
    );
    expect(p99).toBe(0);
  });

  it('tells the steps of streams apart though most of a run catches up with a stall', () => {
    const { firstP99, lastP99, drift } = latenessOf(
      streamsOf(4, (step) => (step < 300 ? 0 : Math.max(0, 6000 - 8 * (step - 300)))),
      STEP_MS,
      0,
    );
    expect(lastP99).toBe(firstP99);
    expect(firstP99).toBeGreaterThan(5900);
    expect(drift).toBeGreaterThan(400);
  });

  it('sees a schedule that slips', () => {
    const { drift } = latenessOf(
      streamsOf(2, (step) => step * 0.01),
      STEP_MS,
      0,
    );
    expect(drift).toBeGreaterThan(8);
  });
});
