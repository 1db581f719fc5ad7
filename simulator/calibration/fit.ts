import type { ProfileFile } from '../profile-schema.js';
import { profileOf } from '../profiles.js';
import type { RecordedCase, RoundCase, StepCase, TtftCase } from './cases.js';
import { constantAt, type FreeConstant, LOADED_CONSTANTS, withConstants } from './constants.js';
import { median } from './median.js';
import { minimise } from './minimise.js';
import { figuresOf, type PredictedEngine, predictRounds, predictStep, predictTtft } from './predict.js';
import type { Recording } from './recording.js';

/** Errors are weighed in units of this; those far beyond count less and less (repetitions differ by as much). */
const USUAL_ERROR = 0.02;
const TOLERATED_ERROR = 0.05;
/** A round's figure is a mean over many requests. */
const ROUND_WEIGHT = 8;
/** Significant figures of a fitted constant. */
const FIGURES = 4;

type QuietCase = TtftCase | StepCase;

/** A case that is fitted on, with its recording, and how much it counts. */
interface Weighed<Case> {
  readonly entry: Case;
  readonly recording: Recording;
  readonly weight: number;
}

/**
 * Fits constants of a profile to the training cases of recordings, each of which counts the same however many cases it
 * has: first all constants together to what an idle engine showed, then those of LOADED_CONSTANTS to rounds, if there are
 * any. Each constant is drawn to where it began, so that few cases cannot pull it far; one that no case shows stays.
 * @param source told with each constant that was fitted.
 */
export async function fitProfile(
  file: ProfileFile,
  recordings: readonly Recording[],
  constants: readonly FreeConstant[],
  source: string,
): Promise<ProfileFile> {
  const quiet = weighed(recordings, (entry) => (entry.kind === 'ttft' || entry.kind === 'step' ? entry : null));
  const rounds = weighed(recordings, (entry) => (entry.kind === 'round' ? entry : null));
  const fitted = fitQuiet(file, constants, quiet, source);
  const loaded = LOADED_CONSTANTS.filter(({ path }) => constants.some((chosen) => chosen.path === path));
  return rounds.length === 0 || loaded.length === 0 ? fitted : await fitRounds(fitted, loaded, rounds, quiet, source);
}

function weighed<Case>(
  recordings: readonly Recording[],
  pick: (entry: RecordedCase) => Case | null,
): readonly Weighed<Case>[] {
  const groups = recordings
    .map((recording) => ({
      recording,
      entries: recording.cases.flatMap((entry, index) =>
        recording.parts[index] === 'training' ? (pick(entry) ?? []) : [],
      ),
    }))
    .filter(({ entries }) => entries.length > 0);
  const mean = sum(groups.map(({ entries }) => entries.length)) / groups.length;
  return groups.flatMap(({ recording, entries }) =>
    entries.map((entry) => ({ entry, recording, weight: mean / entries.length })),
  );
}

function fitQuiet(
  file: ProfileFile,
  constants: readonly FreeConstant[],
  cases: readonly Weighed<QuietCase>[],
  source: string,
): ProfileFile {
  const errorsAt = (free: readonly FreeConstant[], point: readonly number[]): readonly number[] =>
    quietErrors(moved(file, free, point, source), cases);
  const untouched = errorsAt([], []);
  const free = movable(file, constants).filter((constant) =>
    errorsAt([constant], [1]).some((error, index) => error !== untouched[index]),
  );
  const cost = (point: readonly number[]): number => costOf(errorsAt(free, point), cases) + pull(point);
  const best = minimise(
    cost,
    free.map(() => 0),
  );
  return moved(file, free, best, source, FIGURES);
}

/** A profile may lack a constant, or have 0 there, of which no factor makes anything else. */
function movable(file: ProfileFile, constants: readonly FreeConstant[]): readonly FreeConstant[] {
  return constants.filter(({ path }) => (constantAt(file, path) ?? 0) > 0);
}

/** Logarithms of predicted over measured. */
function quietErrors(file: ProfileFile, cases: readonly Weighed<QuietCase>[]): readonly number[] {
  const profile = profileOf(file);
  const engines = new Map<Recording, PredictedEngine>();
  return cases.map(({ entry, recording }) => {
    const engine = engines.get(recording) ?? recording.predictedBy(profile);
    engines.set(recording, engine);
    return entry.kind === 'step'
      ? Math.log(predictStep(engine, entry) / entry.seconds)
      : Math.log(predictTtft(engine, entry) / median(entry.samples));
  });
}

/** One constant after the other, twice: each try runs whole rounds. What an idle engine showed keeps its say. */
async function fitRounds(
  file: ProfileFile,
  constants: readonly FreeConstant[],
  rounds: readonly Weighed<RoundCase>[],
  quiet: readonly Weighed<QuietCase>[],
  source: string,
): Promise<ProfileFile> {
  const free = movable(file, constants);
  const cost = async (point: readonly number[]): Promise<number> => {
    const tried = moved(file, free, point, source);
    let total = pull(point) + costOf(quietErrors(tried, quiet), quiet);
    for (const { entry, recording, weight } of rounds) {
      const errors = await roundErrors(recording.predictedBy(profileOf(tried)), entry);
      total += ROUND_WEIGHT * weight * sum(errors.map(penalty));
    }
    return total;
  };
  let point: readonly number[] = free.map(() => 0);
  for (const reach of [1.5, 0.5]) {
    for (const axis of free.keys()) point = await alongAxis(cost, point, axis, reach);
  }
  return moved(file, free, point, source, FIGURES);
}

async function roundErrors(engine: PredictedEngine, round: RoundCase): Promise<readonly number[]> {
  const [own] = await predictRounds(engine, [round]);
  if (own === undefined) return [];
  const recorded = figuresOf(round.requests);
  const pairs: readonly (readonly [number, number])[] =
    round.workload === 'bench'
      ? [[own.throughput, recorded.throughput]]
      : [
          [own.itl, recorded.itl],
          [own.roundTime, recorded.roundTime],
        ];
  return pairs.map(([prediction, measured]) => Math.log(prediction / measured));
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

/** The file with each constant so many standard steps from where it is; rounded to significant figures if asked to. */
function moved(
  file: ProfileFile,
  free: readonly FreeConstant[],
  point: readonly number[],
  source: string,
  figures?: number,
): ProfileFile {
  const values = free.map(({ path, scale }, index) => {
    const value = (constantAt(file, path) ?? 0) * Math.exp(scale * (point[index] ?? 0));
    return [path, figures === undefined ? value : Number(value.toPrecision(figures))] as const;
  });
  return withConstants(file, new Map(values), source);
}

function costOf(errors: readonly number[], cases: readonly Weighed<unknown>[]): number {
  return sum(errors.map((error, index) => (cases[index]?.weight ?? 0) * penalty(error)));
}

/** Squared for small errors, flat for large ones. */
function penalty(error: number): number {
  return (TOLERATED_ERROR / USUAL_ERROR) ** 2 * Math.log(1 + (error / TOLERATED_ERROR) ** 2);
}

/** What draws constants to where they began. */
function pull(point: readonly number[]): number {
  return sum(point.map((value) => value * value));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
