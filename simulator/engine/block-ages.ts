import type { BlockAge, BlockReports } from '../contracts.js';

/** Uses of a block beyond this many are forgotten, the eldest first (as LMCache does). */
const REMEMBERED_REUSES = 4;

interface BlockLife {
  readonly allocatedAt: number;
  lastUsedAt: number;
  /** Times at which the free block was taken into use again for what it holds. */
  reuses: readonly number[];
}

/** Follows a sample of the GPU's KV blocks from their allocation until other tokens take their place. */
export class BlockAges {
  readonly #now: () => number;
  readonly #reports: BlockReports;
  readonly #lives = new Map<number, BlockLife>();

  /** @param now simulated seconds. */
  constructor(now: () => number, reports: BlockReports) {
    this.#now = now;
    this.#reports = reports;
  }

  /** The blocks hold nothing any more and get new tokens. */
  taken(blocks: readonly number[]): void {
    const rate = this.#reports.sampleRate();
    if (rate === 0) return;
    const now = this.#now();
    const ended: BlockAge[] = [];
    for (const block of blocks) {
      if (!isSampled(block, rate)) continue;
      const life = this.#lives.get(block);
      if (life !== undefined) ended.push(ageOf(life, now));
      this.#lives.set(block, { allocatedAt: now, lastUsedAt: now, reuses: [] });
    }
    if (ended.length > 0) this.#reports.report(ended);
  }

  /** A block that nobody used is used again for what it holds. */
  revived(block: number): void {
    const life = this.#lives.get(block);
    if (life === undefined) return;
    life.lastUsedAt = this.#now();
    life.reuses = [...life.reuses, life.lastUsedAt].slice(-REMEMBERED_REUSES);
  }
}

function ageOf({ allocatedAt, lastUsedAt, reuses }: BlockLife, now: number): BlockAge {
  const reuseGaps = reuses.slice(1).map((time, index) => time - (reuses[index] ?? time));
  return { lifetime: now - allocatedAt, idle: now - lastUsedAt, reuseGaps };
}

/** The same blocks always: their numbers, well mixed, decide. */
function isSampled(block: number, rate: number): boolean {
  return Math.imul(block, 0x9e3779b1) >>> 0 < rate * 0x1_0000_0000;
}
