// `npm run chaos -- [--short] [--seed N] [--tries N] [--runtime process|docker|both] [--fault TEXT] [--kill-points N]
// [--lanes N]`: does harm to small simulated runs at random moments and looks at what is left. Prints a table; exit
// code 1 on a miss.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrap } from '../../pipeline/bootstrap.mjs';

bootstrap();
const { Arena } = await import('./arena.mjs');
const { faultsOf } = await import('./faults.mjs');
const { killPoints } = await import('./kill-points.mjs');
const { runOn } = await import('./runs.mjs');
const { openDaemon } = await import('./daemon.mjs');
const { Table } = await import('./table.mjs');

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    tries: { type: 'string' },
    runtime: { type: 'string', default: 'both' },
    fault: { type: 'string' },
    'kill-points': { type: 'string' },
    lanes: { type: 'string', default: '2' },
  },
});
const seed = Number(options.seed);
const lanes = Number(options.lanes);
const wanted = options['kill-points'] === undefined ? null : Number(options['kill-points']);
const runtimes = options.runtime === 'both' ? ['process', 'docker'] : [options.runtime];
/** Each fault this often; in the short form once, and the faults of the process runtime only where the code is the same. */
const tries = Number(options.tries ?? (options.short ? 1 : 10));
/** What containers do differently from processes, and what a daemon does worst. */
const short = {
  docker: ['orchestrator -9', 'vllm killed', 'baseline frozen'],
  daemon: ['daemon killed while it starts engines', 'daemon and orchestrator killed, daemon started again'],
};

const isWanted = ({ name }, runtime) =>
  (options.fault === undefined || name.includes(options.fault)) &&
  (!options.short || (short[runtime]?.includes(name) ?? true));

function planOf(runtime) {
  const possible = faultsOf[runtime].filter((fault) => isWanted(fault, runtime));
  for (const fault of possible) if (fault.isPossible?.() === false) console.log(`not possible here: ${fault.name}`);
  const chosen = possible.filter((fault) => fault.isPossible?.() ?? true);
  return Array.from({ length: tries }, () => chosen).flat();
}

const started = Date.now();
const table = new Table();
const scratch = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-chaos-'));
const daemon = runtimes.includes('docker') ? await openDaemon(path.join(scratch, 'docker')) : null;
const cleanUp = async () => {
  Arena.removeAll();
  await daemon?.stop();
  rmSync(scratch, { recursive: true, force: true });
};
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.once(signal, () => void cleanUp().finally(() => process.exit(code)));
try {
  for (const runtime of runtimes) {
    const where = { runtime, seed, lanes, table, daemon: runtime === 'docker' ? daemon : null };
    if (wanted !== null) {
      await killPoints(where, wanted);
      continue;
    }
    await runOn(where, planOf(runtime));
    if (runtime === 'docker' && daemon.isPrivate) await runOn({ ...where, lanes: 1 }, planOf('daemon'));
    else if (runtime === 'docker') console.log("not possible here: the machine's own daemon is never killed");
  }
} finally {
  await cleanUp();
}
console.log(table.text());
const seconds = ((Date.now() - started) / 1000).toFixed(0);
console.log(`\nseed ${seed}: ${table.misses} of ${table.tried} missed, ${seconds} s`);
process.exitCode = table.misses === 0 && table.tried > 0 ? 0 : 1;
