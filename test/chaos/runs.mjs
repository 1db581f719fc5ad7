// One fault after the other, in as many lanes as the machine takes: each in an arena of its own.
import { existsSync } from 'node:fs';
import { Arena } from './arena.mjs';
import { describeEnd } from './ends.mjs';
import { momentOf } from './random.mjs';

/**
 * @param where runtime, seed, lanes, table, daemon (null on the process runtime)
 * @param plan the faults in their order
 */
export async function runOn(where, plan) {
  if (plan.length === 0) return;
  const { runtime, seed, lanes } = where;
  console.log(`chaos: seed ${seed}, ${plan.length} faults on the ${runtime} runtime, ${lanes} at a time`);
  const runMs = await wholeRunMs(where).catch((error) => {
    where.table.add('an undisturbed run', { at: `(${runtime})`, survived: false, right: false, said: [error.message] });
    return null;
  });
  if (runMs === null) return;
  console.log(`a whole run takes ${Math.round(runMs)} ms`);
  await inLanes(lanes, plan, (fault, index) => tryFault(where, fault, momentOf(seed, index, runMs), index));
}

/** How long an undisturbed run takes here and now, as many side by side as later: moments lie within it. */
export async function wholeRunMs({ runtime, seed, lanes, daemon }) {
  const arenas = Array.from({ length: lanes }, (_, lane) => arenaOf(`chaos-${seed}-whole-${lane}`, runtime, daemon));
  try {
    // An image that is still to be built would count.
    if (runtime === 'docker') await passes(arenas[0].start());
    const started = performance.now();
    await Promise.all(arenas.map((arena) => passes(arena.start())));
    return performance.now() - started;
  } finally {
    for (const arena of arenas) arena.remove();
  }
}

async function passes(run) {
  const end = await run.ended;
  if (end.code !== 0) throw new Error(`An undisturbed run ended with ${end.code ?? end.signal}:\n${end.output()}`);
}

export const arenaOf = (buildId, runtime, daemon) => new Arena(buildId, runtime, daemon);

export async function inLanes(lanes, list, work) {
  const queue = [...list.entries()];
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next[1], next[0]);
    }),
  );
}

async function tryFault({ runtime, seed, table, daemon }, fault, moment, index) {
  const arena = arenaOf(`chaos-${seed}-${runtime}-${index}`, runtime, daemon);
  /** What is wrong with what is left, and with what the run says of its end. */
  const wrong = [];
  let end = null;
  let told = 'no end';
  let isRight = false;
  try {
    end = await fault.inflict(arena, moment, daemon);
    wrong.push(...(await arena.leftovers()).map((name) => `left behind: ${name}`));
    const directory = arena.faultyResults ?? arena.resultsDir;
    const results = await arena.results(existsSync(directory) ? directory : '/nonexistent');
    isRight = fault.isRight(end, results);
    told = describeEnd(end, results);
    if (!isRight) wrong.push(`not the right end: ${told}`);
    if (arena.faultyResults === null) wrong.push(...results.problems.map((problem) => `invalid: ${problem}`));
    arena.afterwards?.();
    const second = await arena.start().ended;
    if (second.code !== 0) wrong.push(`the second run ended with ${second.code ?? second.signal}\n${tailOf(second)}`);
    wrong.push(...(await arena.leftovers()).map((name) => `left behind by the second run: ${name}`));
  } catch (error) {
    wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    arena.remove();
  }
  const survived = wrong.length === (isRight ? 0 : 1) && end !== null;
  const said = wrong.length > 0 && end !== null ? [...wrong, `its end: ${tailOf(end)}`] : wrong;
  const at = `at ${Math.round(moment.afterMs)} ms (${runtime}, number ${index}): ${told}`;
  table.add(fault.name, { at, survived, right: isRight, said });
}

export const tailOf = (end) => end.output().slice(-1500);
