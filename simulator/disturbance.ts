import { seededRandom, standardNormal } from './chance.js';
import type { EngineStep, StepTimeModel } from './contracts.js';
import type { FaultName, SimFaults } from './faults.js';

/** Correlated noise forgets itself over this many simulated seconds of steps. */
const CORRELATION_SECONDS = 1;
const OUTLIER_FACTOR = 10;
const SECONDS_A_MINUTE = 60;

/**
 * A step-time model that is slower, noisy or drifting as the faults of the moment say; without any it is the model
 * itself. The same seed and the same steps give the same times.
 * @param salt tells servers apart that share a seed.
 */
export function disturbed(model: StepTimeModel, faults: () => SimFaults, salt: number): StepTimeModel {
  let seen: SimFaults | null = null;
  let random = seededRandom(0);
  let slowFactor = 0;
  let busySeconds = 0;
  const begin = (present: SimFaults): void => {
    seen = present;
    random = seededRandom((present.values.get('seed') ?? 0) * 0x9e3779b1 + salt);
    slowFactor = standardNormal(random);
    busySeconds = 0;
  };
  return {
    ...model,
    stepSeconds(step: EngineStep): number {
      const seconds = model.stepSeconds(step);
      const present = faults();
      if (present.values.size === 0) return seconds;
      if (present !== seen) begin(present);
      const share = (name: FaultName): number => (present.values.get(name) ?? 0) / 100;
      const memory = Math.exp(-seconds / CORRELATION_SECONDS);
      slowFactor = memory * slowFactor + Math.sqrt(1 - memory * memory) * standardNormal(random);
      const isOutlier = random() < share('outliers');
      const factor =
        (1 + share('slower')) *
        (1 + (share('drift') * busySeconds) / SECONDS_A_MINUTE) *
        logNormal(share('noise'), standardNormal(random)) *
        logNormal(share('correlated-noise'), slowFactor) *
        (isOutlier ? OUTLIER_FACTOR : 1);
      busySeconds += seconds;
      return seconds * factor;
    },
  };
}

/** A factor of mean 1 and standard deviation `deviation` from a standard normal number. */
function logNormal(deviation: number, normal: number): number {
  const variance = Math.log(1 + deviation * deviation);
  return Math.exp(Math.sqrt(variance) * normal - variance / 2);
}
