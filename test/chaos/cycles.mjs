// `npm run cycles -- [--count 200] [--runtime process|docker]`: launch, wait, clean up, again and again in one process.
// After each cycle nothing of it may be left: no process, container, file descriptor, timer, listener, temporary file;
// and memory may not grow. Exit code 1 when something is.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { bootstrap } from '../../pipeline/bootstrap.mjs';

bootstrap();
const { growthOf } = await import('../../dist/bench/memory-growth.js');
const { findMarked } = await import('../../dist/engines/process-groups.js');
const { waitUntil } = await import('../../dist/engines/wait-until.js');
const { mpTestCommand } = await import('../../dist/pipeline/commands/mp-test.js');

const { values: options } = parseArgs({
  options: { count: { type: 'string', default: '200' }, runtime: { type: 'string', default: 'process' } },
});
const count = Number(options.count);
/** What is loaded or compiled once is there after these. */
const warmUp = Math.min(10, Math.floor(count / 2));
/** A socket, a timer or a listener that is kept for ever is more. */
const growthLimitKiB = 2;
const goneLimitMs = 2000;
setFlagsFromString('--expose-gc');
// Compiled code, and what is noted for it, grows for hundreds of cycles: seven tenths of a MiB from the 20th to the
// 120th, where everything else together grew by 60 bytes a cycle. Without compilers what is left is what a run keeps.
for (const compiler of ['--no-opt', '--no-maglev', '--no-sparkplug']) setFlagsFromString(compiler);
const collectGarbage = runInNewContext('gc');

const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-cycles-'));
const buildId = `cycles-${process.pid}`;
const at = (name) => path.join(directory, name);
for (const name of ['home', 'tmp', 'runtime', 'work']) mkdirSync(at(name), { mode: 0o700 });
const { PATH, DOCKER_HOST } = process.env;
process.env = {
  PATH,
  ...(DOCKER_HOST === undefined ? {} : { DOCKER_HOST }),
  HOME: at('home'),
  TMPDIR: at('tmp'),
  XDG_RUNTIME_DIR: at('runtime'),
  BUILD_ID: buildId,
  RESULTS_DIR: at('results'),
  ENGINE: 'sim',
  RUNTIME: options.runtime,
  VLLM_PORT: 'auto',
  VLLM_BASELINE_PORT: 'auto',
  LMCACHE_PORT: 'auto',
  LMCACHE_HTTP_PORT: 'auto',
};
process.chdir(at('work'));

const say = process.stdout.write.bind(process.stdout);
let output = '';

/** What this process holds; every number must be the same after each cycle. */
function holdings() {
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const listeners = process.eventNames().map((name) => `${String(name)} ${process.listenerCount(name)}`);
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    resources: JSON.stringify(resources),
    listeners: listeners.sort().join(', '),
  };
}

/** What is left of the run on this machine. */
function leftOf() {
  const registry = at('runtime/lmcache-ci');
  return [
    ...findMarked({ LMCACHE_CI_BUILD_ID: buildId }, 0).map(({ pid }) => `process ${pid}`),
    ...readdirSync(at('tmp')).map((name) => `temporary file ${name}`),
    ...readdirSync(registry).map((name) => `${name} in the registry`),
    ...containers().map((name) => `container ${name}`),
  ];
}

function containers() {
  if (options.runtime !== 'docker') return [];
  const filter = `label=ci.lmcache.build-id=${buildId}`;
  const listed = spawnSync('docker', ['ps', '--all', '--filter', filter, '--format', '{{.Names}}'], {
    encoding: 'utf8',
  });
  if (listed.status !== 0) throw new Error(`docker ps: ${listed.stderr}`);
  return listed.stdout.split('\n').filter(Boolean);
}

const problems = [];
const heapKiB = [];
let first = null;
const started = performance.now();
try {
  for (let cycle = 0; cycle < count && problems.length === 0; cycle += 1) {
    output = '';
    process.stdout.write = (text) => {
      output += text;
      return true;
    };
    const code = await mpTestCommand.run({ only: ['wait-for-vllm'] });
    process.stdout.write = say;
    if (code !== 0) problems.push(`cycle ${cycle} ended with ${code}:\n${output}`);
    await waitUntil(() => leftOf().length === 0, goneLimitMs);
    problems.push(...leftOf().map((name) => `cycle ${cycle} left ${name}`));
    rmSync(at('results'), { recursive: true, force: true });
    if (cycle < warmUp) continue;
    collectGarbage();
    heapKiB.push(process.memoryUsage().heapUsed / 1024);
    const now = holdings();
    first ??= now;
    for (const [name, value] of Object.entries(now)) {
      if (value !== first[name]) problems.push(`cycle ${cycle}: ${name} were ${first[name]}, are ${value}`);
    }
  }
} finally {
  process.stdout.write = say;
  process.chdir('/');
  rmSync(directory, { recursive: true, force: true });
}
const growth = growthOf(heapKiB);
if (growth !== null && growth > growthLimitKiB) problems.push(`the heap grows by ${growth.toFixed(1)} KiB a cycle`);
for (const problem of problems) console.log(problem);
const seconds = ((performance.now() - started) / 1000).toFixed(0);
const trend = growth === null ? 'too few to see a trend' : `${growth.toFixed(2)} KiB a cycle in the later half`;
const heap = `heap ${heapKiB[0]?.toFixed(0)} KiB at first, ${heapKiB.at(-1)?.toFixed(0)} KiB at last, ${trend}`;
console.log(
  `${count} cycles on the ${options.runtime} runtime in ${seconds} s; ${first?.descriptors} descriptors throughout; ${heap}`,
);
console.log(problems.length === 0 ? 'nothing left behind' : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
