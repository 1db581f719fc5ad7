import type { ModelShape } from '../contracts.js';
import type { ProfileFile } from '../profile-schema.js';
import { profileOf } from '../profiles.js';
import {
  CONNECTOR_CONSTANTS,
  constantAt,
  type FreeConstant,
  LOADED_CONSTANTS,
  QUIET_CONSTANTS,
  withConstants,
} from './constants.js';
import { median } from './median.js';
import { minimise } from './minimise.js';
import { figuresOf, type PredictedEngine, predictRounds, predictStep, predictTtft } from './predict.js';
import type { RecordedCase, RoundCase, StepCase, TtftCase } from './recordings.js';

/** Errors are weighed in units of this; those far beyond count less and less (repetitions differ by as much). */
const USUAL_ERROR = 0.02;
const TOLERATED_ERROR = 0.05;
/** A round's figure is a mean over many requests. */
const ROUND_WEIGHT = 8;
/** Significant figures of a fitted constant. */
const FIGURES = 4;

type QuietCase = TtftCase | StepCase;

/**
 * Fits a profile's constants to recordings, in stages: an idle engine, then one with LMCache, then engines under load.
 * Each stage moves only what it shows, and each constant is drawn to where it began, so that few cases cannot pull it far.
 * @param cases those that may be fitted on. @param source told with each constant that was fitted.
 */
export async function fitProfile(
  file: ProfileFile,
  model: ModelShape,
  cases: readonly RecordedCase[],
  source: string,
): Promise<ProfileFile> {
  const quiet = cases.filter((entry): entry is QuietCase => entry.kind !== 'round');
  const rounds = cases.filter((entry): entry is RoundCase => entry.kind === 'round');
  const fitQuiet = (from: ProfileFile): ProfileFile => {
    const idle = fitStage(from, model, QUIET_CONSTANTS, only(quiet, 'baseline'), source);
    return fitStage(idle, model, CONNECTOR_CONSTANTS, only(quiet, 'lmcache'), source);
  };
  let fitted = fitQuiet(file);
  if (rounds.length === 0) return fitted;
  fitted = await fitRounds(fitted, model, rounds, only(quiet, 'baseline'), source);
  return fitStage(fitted, model, CONNECTOR_CONSTANTS, only(quiet, 'lmcache'), source);
}

function only(cases: readonly QuietCase[], engine: 'baseline' | 'lmcache'): readonly QuietCase[] {
  return cases.filter((entry) => entry.engine === engine);
}

function fitStage(
  file: ProfileFile,
  model: ModelShape,
  constants: readonly FreeConstant[],
  cases: readonly QuietCase[],
  source: string,
): ProfileFile {
  if (cases.length === 0) return file;
  const free = constants.filter(({ path }) => (constantAt(file, path) ?? 0) > 0);
  const fileAt = (point: readonly number[]): ProfileFile => moved(file, free, point, source);
  const cost = (point: readonly number[]): number => {
    const predicted: PredictedEngine = { profile: profileOf(fileAt(point)), model };
    return quietCost(predicted, cases) + sum(point.map((value) => value * value));
  };
  return fileAt(
    minimise(
      cost,
      free.map(() => 0),
    ),
  );
}

function quietCost(predicted: PredictedEngine, cases: readonly QuietCase[]): number {
  const errors = cases.map((entry) =>
    entry.kind === 'step'
      ? Math.log(predictStep(predicted, entry) / entry.seconds)
      : Math.log(predictTtft(predicted, entry) / median(entry.samples)),
  );
  return sum(errors.map(weight));
}

/** One constant after the other, twice: each try runs whole rounds. What an idle engine showed keeps its say. */
async function fitRounds(
  file: ProfileFile,
  model: ModelShape,
  rounds: readonly RoundCase[],
  quiet: readonly QuietCase[],
  source: string,
): Promise<ProfileFile> {
  const free = LOADED_CONSTANTS.filter(({ path }) => (constantAt(file, path) ?? 0) > 0);
  const cost = async (point: readonly number[]): Promise<number> => {
    const predicted = { profile: profileOf(moved(file, free, point, source)), model };
    let total = sum(point.map((value) => value * value)) + quietCost(predicted, quiet);
    for (const round of rounds) {
      const [own] = await predictRounds(predicted, [round]);
      const recorded = figuresOf(round.requests);
      if (own === undefined) continue;
      const pairs: readonly (readonly [number, number])[] =
        round.workload === 'bench'
          ? [[own.throughput, recorded.throughput]]
          : [
              [own.itl, recorded.itl],
              [own.roundTime, recorded.roundTime],
            ];
      total += ROUND_WEIGHT * sum(pairs.map(([prediction, measured]) => weight(Math.log(prediction / measured))));
    }
    return total;
  };
  let point: readonly number[] = free.map(() => 0);
  for (const reach of [1.5, 0.5]) {
    for (const axis of free.keys()) point = await alongAxis(cost, point, axis, reach);
  }
  return moved(file, free, point, source);
}

/** Golden-section search along one axis. */
async function alongAxis(
  cost: (point: readonly number[]) => Promise<number>,
  from: readonly number[],
  axis: number,
  reach: number,
): Promise<readonly number[]> {
  const ratio = (Math.sqrt(5) - 1) / 2;
  const centre = from[axis] ?? 0;
  const at = (value: number): readonly number[] => from.map((own, index) => (index === axis ? value : own));
  let [low, high] = [centre - reach, centre + reach];
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [leftCost, rightCost] = [await cost(at(left)), await cost(at(right))];
  while (high - low > 0.1) {
    if (leftCost < rightCost) {
      [high, right, rightCost] = [right, left, leftCost];
      left = high - ratio * (high - low);
      leftCost = await cost(at(left));
    } else {
      [low, left, leftCost] = [left, right, rightCost];
      right = low + ratio * (high - low);
      rightCost = await cost(at(right));
    }
  }
  return at((low + high) / 2);
}

function moved(
  file: ProfileFile,
  free: readonly FreeConstant[],
  point: readonly number[],
  source: string,
): ProfileFile {
  const values = free.map(({ path, scale }, index) => {
    const value = (constantAt(file, path) ?? 0) * Math.exp(scale * (point[index] ?? 0));
    return [path, Number(value.toPrecision(FIGURES))] as const;
  });
  return withConstants(file, new Map(values), source);
}

/** Squared for small errors, flat for large ones. */
function weight(error: number): number {
  return (TOLERATED_ERROR / USUAL_ERROR) ** 2 * Math.log(1 + (error / TOLERATED_ERROR) ** 2);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
