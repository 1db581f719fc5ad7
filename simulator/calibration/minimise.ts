/** Iterations and the spread of values at which a search ends. */
const MOST_ITERATIONS = 4000;
const FLAT = 1e-10;
const FIRST_STEP = 0.4;
/** A simplex may collapse far from any minimum: a new one begins where it did, until that gains less than this share. */
const LEAST_GAIN = 1e-6;
const MOST_SEARCHES = 20;

interface Vertex {
  readonly point: readonly number[];
  readonly value: number;
}

/**
 * The simplex search of Nelder and Mead, again and again from where it ended, without derivatives: deterministic, for up to
 * some twenty parameters of like scale.
 * @param cost to be made small; @param start where the search begins.
 */
export function minimise(cost: (point: readonly number[]) => number, start: readonly number[]): readonly number[] {
  if (start.length === 0) return start;
  let best: Vertex = { point: start, value: cost(start) };
  for (let search = 0; search < MOST_SEARCHES; search += 1) {
    // The other way round each time: a simplex of the same vertices could collapse the same way.
    const found = searchFrom(cost, best.point, search % 2 === 0 ? FIRST_STEP : -FIRST_STEP);
    const gain = best.value - found.value;
    if (gain > 0) best = found;
    if (gain <= LEAST_GAIN * Math.abs(best.value)) break;
  }
  return best.point;
}

function searchFrom(cost: (point: readonly number[]) => number, start: readonly number[], step: number): Vertex {
  const vertex = (point: readonly number[]): Vertex => ({ point, value: cost(point) });
  let simplex = [
    vertex(start),
    ...start.map((_, axis) => vertex(start.map((value, index) => value + (index === axis ? step : 0)))),
  ];
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration += 1) {
    simplex = simplex.toSorted((left, right) => left.value - right.value);
    const best = at(simplex, 0);
    const worst = at(simplex, simplex.length - 1);
    const secondWorst = at(simplex, simplex.length - 2);
    if (worst.value - best.value < FLAT) break;
    const others = simplex.slice(0, -1);
    const centre = start.map((_, axis) => mean(others.map(({ point }) => point[axis] ?? 0)));
    const along = (factor: number): Vertex =>
      vertex(centre.map((value, axis) => value + factor * ((worst.point[axis] ?? 0) - value)));
    const reflected = along(-1);
    if (reflected.value < best.value) {
      const expanded = along(-2);
      simplex = [...others, expanded.value < reflected.value ? expanded : reflected];
    } else if (reflected.value < secondWorst.value) {
      simplex = [...others, reflected];
    } else {
      const contracted = along(reflected.value < worst.value ? -0.5 : 0.5);
      simplex =
        contracted.value < Math.min(reflected.value, worst.value)
          ? [...others, contracted]
          : simplex.map(({ point }) => vertex(point.map((value, axis) => ((best.point[axis] ?? 0) + value) / 2)));
    }
  }
  return at(
    simplex.toSorted((left, right) => left.value - right.value),
    0,
  );
}

function at(simplex: readonly Vertex[], index: number): Vertex {
  const found = simplex[index];
  if (found === undefined) throw new Error('an empty simplex');
  return found;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
