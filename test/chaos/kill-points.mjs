// Runs of one lane follow each other in one place under one BUILD_ID, so that each is also the run right after a kill.
import { existsSync } from 'node:fs';
import { describeEnd, hasPassed } from './ends.mjs';
import { endsAsKilled, killedRun } from './orchestrator-faults.mjs';
import { momentOf } from './random.mjs';
import { arenaOf, inLanes, tailOf, wholeRunMs } from './runs.mjs';

const kills = [
  { signal: 'SIGKILL', wholeGroup: false },
  { signal: 'SIGKILL', wholeGroup: true },
  { signal: 'SIGTERM', wholeGroup: false },
  { signal: 'SIGINT', wholeGroup: true },
];

/** Kills `count` runs at random points and looks each time at what is left; the last run of each lane must pass. */
export async function killPoints(where, count) {
  const { runtime, seed, lanes, table, daemon } = where;
  const runMs = await wholeRunMs(where);
  console.log(`chaos: seed ${seed}, ${count} kill points within ${Math.round(runMs)} ms on the ${runtime} runtime`);
  const share = Array.from({ length: lanes }, (_, lane) => Math.floor((count + lane) / lanes));
  await inLanes(lanes, share, async (points, lane) => {
    const arena = arenaOf(`chaos-${seed}-${runtime}-points-${lane}`, runtime, daemon);
    try {
      let struck = 0;
      for (let point = 0; struck < points; point += 1) {
        if (await killOnce(arena, momentOf(seed + lane, point, runMs), { table, point, lane, runtime })) struck += 1;
      }
      const last = await arena.start().ended;
      const left = await arena.leftovers();
      table.add(`a whole run after them (${runtime})`, {
        at: `in lane ${lane}`,
        survived: left.length === 0,
        right: last.code === 0,
        said: last.code === 0 ? left : [...left, tailOf(last)],
      });
    } finally {
      arena.remove();
    }
  });
}

/** @returns false when the run was over before: that was no kill point */
async function killOnce(arena, moment, { table, point, lane, runtime }) {
  const { signal, wholeGroup } = moment.choose(kills);
  const name = `${wholeGroup ? 'group ' : ''}${signal} (${runtime})`;
  arena.forgetResults();
  const end = await killedRun(arena, signal, wholeGroup, moment.afterMs);
  const wrong = (await arena.leftovers()).map((left) => `left behind: ${left}`);
  const results = await arena.results(existsSync(arena.resultsDir) ? arena.resultsDir : '/nonexistent');
  wrong.push(...results.problems.map((problem) => `invalid: ${problem}`));
  const at = `at ${Math.round(moment.afterMs)} ms (lane ${lane}, point ${point}): ${describeEnd(end, results)}`;
  const right = endsAsKilled(signal, end, results);
  if (right && wrong.length === 0 && hasPassed(end, results)) return false;
  const said = right && wrong.length === 0 ? [] : [...wrong, `its end: ${tailOf(end)}`];
  table.add(name, { at, survived: wrong.length === 0, right, said });
  return true;
}
