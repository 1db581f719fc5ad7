import type { ProfileFile } from '../profile-schema.js';
import { profileOf } from '../profiles.js';
import { mean } from './averages.js';
import type { RecordedCase, RoundCase, StepCase, TtftCase } from './cases.js';
import { constantAt, type FreeConstant, LOADED_CONSTANTS, withConstants } from './constants.js';
import { costAt, type ErrorProblem, leastErrors, startsAround } from './least-errors.js';
import { figuresOf, measuredTtft, type PredictedEngine, predictRounds, predictStep, predictTtft } from './predict.js';
import type { Recording } from './recording.js';

/** A round's figure is a mean over many requests. */
const ROUND_WEIGHT = 8;
/** How often the fit goes on from where rounds were run anew, and the way to a constant's neighbour, in standard steps. */
const ROUND_PASSES = 3;
const SLOPE_STEP = 0.5;
/** Significant figures of a fitted constant. */
const FIGURES = 4;

type QuietCase = TtftCase | StepCase;

/** A case that is fitted on, with its recording, and how much it counts. */
interface Weighed<Case> {
  readonly entry: Case;
  readonly recording: Recording;
  readonly weight: number;
}

/** A round's errors as straight lines around a point: each try of them runs the whole round. */
interface RoundLines {
  readonly weight: number;
  readonly errors: readonly number[];
  /** Of each free constant, what a standard step of it adds to each error. */
  readonly slopes: readonly (readonly number[])[];
}

/**
 * Fits constants of a profile to the training cases of recordings, each of which counts the same however many cases it
 * has: all constants together to what an idle engine showed, and those of LOADED_CONSTANTS also to rounds, whose errors
 * are taken as straight lines anew in each pass. Each constant is drawn to where it began, so that few cases cannot pull it
 * far; one that no case shows stays.
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
  const free = shownBy(file, constants, quiet, rounds.length > 0, source);
  if (free.length === 0) return file;
  const fileAt = (point: readonly number[], figures?: number): ProfileFile => moved(file, free, point, source, figures);
  const problemOf = (lines: readonly RoundLines[], around: readonly number[]): ErrorProblem => ({
    errorsAt: (point) => [...quietErrors(fileAt(point), quiet), ...expectedErrors(lines, around, point)],
    weights: [
      ...quiet.map(({ weight }) => weight),
      ...lines.flatMap(({ weight, errors }) => errors.map(() => ROUND_WEIGHT * weight)),
    ],
  });
  let point: readonly number[] = free.map(() => 0);
  let starts = startsAround(free.length);
  if (rounds.length === 0) return fileAt(leastErrors(problemOf([], point), starts), FIGURES);
  let best = { point, cost: Number.POSITIVE_INFINITY };
  for (let pass = 0; pass <= ROUND_PASSES; pass += 1) {
    const isLast = pass === ROUND_PASSES;
    const problem = problemOf(await linesAround(point, isLast ? [] : free, fileAt, rounds), point);
    const cost = costAt(problem, point);
    if (cost < best.cost) best = { point, cost };
    if (!isLast) point = leastErrors(problem, starts);
    starts = [point];
  }
  return fileAt(best.point, FIGURES);
}

function weighed<Case>(
  recordings: readonly Recording[],
  pick: (entry: RecordedCase) => Case | null,
): readonly Weighed<Case>[] {
  const groups = recordings
    .map((recording) => ({
      recording,
      entries: recording.cases.flatMap(({ entry, part }) => (part === 'training' ? (pick(entry) ?? []) : [])),
    }))
    .filter(({ entries }) => entries.length > 0);
  const usual = mean(groups.map(({ entries }) => entries.length));
  return groups.flatMap(({ recording, entries }) =>
    entries.map((entry) => ({ entry, recording, weight: usual / entries.length })),
  );
}

/** Constants that move what is predicted of the cases. A profile may lack one, or have 0 there, of which no factor makes more. */
function shownBy(
  file: ProfileFile,
  constants: readonly FreeConstant[],
  quiet: readonly Weighed<QuietCase>[],
  hasRounds: boolean,
  source: string,
): readonly FreeConstant[] {
  const untouched = quietErrors(file, quiet);
  return constants.filter((constant) => {
    if ((constantAt(file, constant.path) ?? 0) === 0) return false;
    if (hasRounds && LOADED_CONSTANTS.includes(constant.path)) return true;
    return quietErrors(moved(file, [constant], [1], source), quiet).some((error, index) => error !== untouched[index]);
  });
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
      : Math.log(predictTtft(engine, entry) / measuredTtft(entry));
  });
}

async function linesAround(
  point: readonly number[],
  free: readonly FreeConstant[],
  fileAt: (point: readonly number[]) => ProfileFile,
  rounds: readonly Weighed<RoundCase>[],
): Promise<readonly RoundLines[]> {
  const lines: RoundLines[] = [];
  for (const { entry, recording, weight } of rounds) {
    const errorsAt = (tried: readonly number[]): Promise<readonly number[]> =>
      roundErrors(recording.predictedBy(profileOf(fileAt(tried))), entry);
    const errors = await errorsAt(point);
    const slopes: (readonly number[])[] = [];
    for (const [axis, { path }] of free.entries()) {
      if (!LOADED_CONSTANTS.includes(path)) {
        slopes.push(errors.map(() => 0));
        continue;
      }
      const beside = await errorsAt(point.map((value, index) => (index === axis ? value + SLOPE_STEP : value)));
      slopes.push(errors.map((error, index) => ((beside[index] ?? error) - error) / SLOPE_STEP));
    }
    lines.push({ weight, errors, slopes });
  }
  return lines;
}

function expectedErrors(
  lines: readonly RoundLines[],
  around: readonly number[],
  point: readonly number[],
): readonly number[] {
  return lines.flatMap(({ errors, slopes }) =>
    errors.map((error, index) =>
      slopes.reduce(
        (total, slope, axis) => total + (slope[index] ?? 0) * ((point[axis] ?? 0) - (around[axis] ?? 0)),
        error,
      ),
    ),
  );
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
