/** Errors are weighed in units of this; those far beyond what is tolerated count less and less. */
const USUAL_ERROR = 0.02;
const TOLERATED_ERROR = 0.15;
/** For derivatives, to either side. */
const SLOPE_STEP = 0.01;
const MOST_STEPS = 100;
const MOST_TRIES = 12;
/** A search ends where a step lowers the cost by less than this share. */
const LEAST_GAIN = 1e-7;

export interface ErrorProblem {
  /** Logarithms of predicted over measured, in the same order at each point. */
  readonly errorsAt: (point: readonly number[]) => readonly number[];
  /** How much each of them counts. */
  readonly weights: readonly number[];
}

/**
 * The weighed sum of errors, squared where they are small and nearly flat where they are large (Cauchy's loss), and of the
 * square of each coordinate, which draws a point to the origin.
 */
export function costAt(problem: ErrorProblem, point: readonly number[]): number {
  return costOf(problem, point, problem.errorsAt(point));
}

/** The point of the least cost to be found from these, of like scale in all coordinates. Deterministic. */
export function leastErrors(problem: ErrorProblem, starts: readonly (readonly number[])[]): readonly number[] {
  const [first = [], ...others] = starts.map((start) => descend(problem, start));
  return others.reduce((best, point) => (costAt(problem, point) < costAt(problem, best) ? point : best), first);
}

/**
 * The origin and points all around it: of a maximum of two times, of which only the greater one shows, errors may have a
 * minimum on either side.
 */
export function startsAround(dimensions: number): readonly (readonly number[])[] {
  const axes = Array.from({ length: dimensions }, (_, axis) => axis);
  const starts: (readonly number[])[] = [axes.map(() => 0)];
  for (let run = 1; run < 2 * dimensions; run *= 2) {
    const corner = axes.map((axis) => (Math.floor(axis / run) % 2 === 0 ? 1 : -1));
    starts.push(
      corner,
      corner.map((value) => -value),
    );
  }
  return starts;
}

/** Levenberg and Marquardt's steps, each error weighed anew at each of them by how far off it is. */
function descend(problem: ErrorProblem, start: readonly number[]): readonly number[] {
  let point = start;
  let errors = problem.errorsAt(point);
  let cost = costOf(problem, point, errors);
  let damping = 0.1;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const { normal, gradient } = normalEquations(problem, point, errors);
    let gain = 0;
    for (let tried = 0; tried < MOST_TRIES && gain === 0; tried += 1) {
      const damped = normal.map((row, axis) =>
        row.map((value, other) => (axis === other ? value * (1 + damping) : value)),
      );
      const move = solved(
        damped,
        gradient.map((value) => -value),
      );
      const next = point.map((value, axis) => value + (move[axis] ?? 0));
      const nextErrors = problem.errorsAt(next);
      const nextCost = costOf(problem, next, nextErrors);
      if (nextCost < cost) {
        gain = cost - nextCost;
        [point, errors, cost] = [next, nextErrors, nextCost];
        damping = Math.max(damping / 5, 1e-6);
      } else {
        damping *= 4;
      }
    }
    if (gain <= LEAST_GAIN * cost) break;
  }
  return point;
}

function normalEquations(
  { errorsAt, weights }: ErrorProblem,
  point: readonly number[],
  errors: readonly number[],
): { readonly normal: readonly (readonly number[])[]; readonly gradient: readonly number[] } {
  const slopes = point.map((_, axis) => {
    const beside = (step: number): readonly number[] =>
      errorsAt(point.map((value, other) => (axis === other ? value + step : value)));
    const [above, below] = [beside(SLOPE_STEP), beside(-SLOPE_STEP)];
    return above.map((error, index) => (error - (below[index] ?? error)) / (2 * SLOPE_STEP));
  });
  const pulls = errors.map(
    (error, index) => (weights[index] ?? 0) / USUAL_ERROR ** 2 / (1 + (error / TOLERATED_ERROR) ** 2),
  );
  const product = (left: readonly number[], right: readonly number[]): number =>
    left.reduce((total, value, index) => total + value * (right[index] ?? 0) * (pulls[index] ?? 0), 0);
  return {
    normal: slopes.map((slope, axis) => slopes.map((other, index) => product(slope, other) + (axis === index ? 1 : 0))),
    gradient: slopes.map((slope, axis) => product(slope, errors) + (point[axis] ?? 0)),
  };
}

/** Gauss's elimination; the matrix is positive definite, so that no row needs to change places. */
function solved(matrix: readonly (readonly number[])[], right: readonly number[]): readonly number[] {
  const rows = matrix.map((row, index) => [...row, right[index] ?? 0]);
  for (const [pivot, row] of rows.entries()) {
    for (const below of rows.slice(pivot + 1)) {
      const factor = (below[pivot] ?? 0) / (row[pivot] ?? 1);
      for (let column = pivot; column <= rows.length; column += 1) {
        below[column] = (below[column] ?? 0) - factor * (row[column] ?? 0);
      }
    }
  }
  const solution: number[] = rows.map(() => 0);
  for (const [index, row] of [...rows.entries()].reverse()) {
    const known = solution.reduce((total, value, column) => total + value * (row[column] ?? 0), 0);
    solution[index] = ((row[rows.length] ?? 0) - known) / (row[index] ?? 1);
  }
  return solution;
}

function costOf({ weights }: ErrorProblem, point: readonly number[], errors: readonly number[]): number {
  const penalties = errors.map((error, index) => (weights[index] ?? 0) * penalty(error));
  return [...penalties, ...point.map((value) => value * value)].reduce((total, value) => total + value, 0);
}

function penalty(error: number): number {
  return (TOLERATED_ERROR / USUAL_ERROR) ** 2 * Math.log(1 + (error / TOLERATED_ERROR) ** 2);
}
