import type { TestTarget } from '../test-targets.js';
import type { BenchMeasurement } from './judge.js';

export type BenchServer = 'baseline' | 'lmcache';

/** Who measures; the same prompts for both servers. */
export interface BenchClient {
  /** For logs. */
  readonly label: string;
  /** What a reader must know about its numbers; null: nothing. */
  readonly note: string | null;
  /** A few requests of other content: a cold server must not be measured. */
  warmUp(target: TestTarget, server: BenchServer): Promise<void>;
  /** Measures and leaves `<server>.json` in the folder of results that it was made for. */
  measure(target: TestTarget, server: BenchServer): Promise<BenchMeasurement>;
}

export const warmUpPrompts = 3;
/** The seed of the warm-up's prompts: far from anybody's own. */
export const warmUpSeedOffset = 1_000_003;
/** Of a second measurement: other prompts, and no seed that is near anybody's. */
export const secondSeedOffset = 2_000_003;
