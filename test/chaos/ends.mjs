// How a run may end, told from its exit code and its verdict together.

/** A run that was over before the fault came is judged as a passed run. */
export const hasPassed = (end, results) => end.code === 0 && results.verdict?.outcome === 'passed';

const exitCodes = { infrastructure: 3, unknown: 3, configuration: 2, regression: 1, 'incorrect-output': 1 };

/** A failure of this reason and one of these causes, with the exit code that belongs to it. */
export function isFailure(end, { verdict }, reason, causes) {
  return end.code === exitCodes[reason] && verdict?.reason === reason && causes.includes(verdict.cause);
}

/** In a few words: `exit 3, infrastructure (engine-died)`. */
export function describeEnd(end, { verdict, status }) {
  const said = verdict === null ? status.state : (verdict.reason ?? verdict.outcome);
  const cause = verdict?.cause === undefined ? '' : ` (${verdict.cause})`;
  return `${end.code === null ? end.signal : `exit ${end.code}`}, ${said}${cause}`;
}
