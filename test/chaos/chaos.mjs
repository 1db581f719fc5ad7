// `npm run chaos [-- --short] [--seed N] [--tries N] [--runtime process|docker] [--fault TEXT]`: does harm to small
// simulated runs at random moments and looks at what is left. Prints a table; exit code 1 on a miss.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bootstrap } from '../../pipeline/bootstrap.mjs';

bootstrap();
const { Arena } = await import('./arena.mjs');
const { faults } = await import('./faults.mjs');

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    tries: { type: 'string' },
    runtime: { type: 'string', default: 'process' },
    fault: { type: 'string' },
  },
});
const seed = Number(options.seed);
/** A whole run on two idle cores takes about this long; moments lie within it. */
const runMs = options.runtime === 'docker' ? 9000 : 4500;

/** mulberry32: small, and the same everywhere for one seed. */
function randomFrom(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const chosen = faults.filter(
  ({ name, runtimes, isPossible }) =>
    runtimes.includes(options.runtime) &&
    (options.fault === undefined || name.includes(options.fault)) &&
    (isPossible?.() ?? true),
);
const possible = faults.filter(({ runtimes }) => runtimes.includes(options.runtime));
for (const { name, isPossible } of possible) if (isPossible?.() === false) console.log(`not possible here: ${name}`);
/** 20 in the short form: every fault once, the kills more often. */
const plan = options.short
  ? [...chosen, ...Array.from({ length: Math.max(0, 20 - chosen.length) }, (_, index) => chosen[index % 4])]
  : chosen.flatMap((fault) => Array.from({ length: Number(options.tries ?? 10) }, () => fault));

console.log(`chaos: seed ${seed}, ${plan.length} faults on the ${options.runtime} runtime`);
const started = Date.now();
const rows = new Map(chosen.map(({ name }) => [name, { tried: 0, survived: 0, right: 0 }]));
const misses = [];

for (const [index, fault] of plan.entries()) {
  const random = randomFrom(seed * 1000 + index);
  const fraction = random();
  const moment = { fraction, afterMs: fraction * runMs, choose: (list) => list[Math.floor(random() * list.length)] };
  const arena = new Arena(`chaos-${seed}-${index}`, options.runtime);
  const row = rows.get(fault.name);
  row.tried += 1;
  /** What is wrong with what is left, and with what the run says of its end. */
  const wrong = [];
  const reasons = [];
  let isRight = false;
  try {
    const end = await fault.inflict(arena, moment);
    wrong.push(...(await arena.leftovers()).map((name) => `left behind: ${name}`));
    const directory = arena.faultyResults ?? arena.resultsDir;
    const results = existsSync(directory) ? await arena.results(directory) : await arena.results('/nonexistent');
    isRight = fault.isRight(end, results);
    if (!isRight) {
      const { verdict, status } = results;
      const said = end.output().slice(-1500);
      reasons.push(`exit ${end.code ?? end.signal}, ${JSON.stringify(verdict)}, ${status.state}\n${said}`);
    }
    if (arena.faultyResults === undefined) wrong.push(...results.problems.map((problem) => `invalid: ${problem}`));
    arena.afterwards?.();
    const second = await arena.start().ended;
    if (second.code !== 0)
      wrong.push(`the second run ended with ${second.code ?? second.signal}\n${second.output().slice(-1500)}`);
    wrong.push(...(await arena.leftovers()).map((name) => `left behind by the second run: ${name}`));
  } catch (error) {
    wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    arena.remove();
  }
  if (isRight) row.right += 1;
  if (wrong.length === 0) row.survived += 1;
  const at = `${index + 1}/${plan.length} ${fault.name} at ${Math.round(moment.afterMs)} ms`;
  const misfits = [...wrong, ...reasons];
  console.log(`${misfits.length === 0 ? 'ok  ' : 'MISS'} ${at}`);
  for (const line of misfits) console.log(`     ${line.replaceAll('\n', '\n     ')}`);
  if (misfits.length > 0) misses.push(at);
}

const width = Math.max(...[...rows.keys()].map((name) => name.length));
console.log(`\n${'fault'.padEnd(width)}  tried  survived  right reason`);
for (const [name, { tried, survived, right }] of rows) {
  console.log(
    `${name.padEnd(width)}  ${String(tried).padStart(5)}  ${String(survived).padStart(8)}  ${String(right).padStart(12)}`,
  );
}
console.log(
  `\nseed ${seed}: ${misses.length} of ${plan.length} missed, ${((Date.now() - started) / 1000).toFixed(0)} s`,
);
process.exitCode = misses.length === 0 ? 0 : 1;
