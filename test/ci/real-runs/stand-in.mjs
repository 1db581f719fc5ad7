// Stands in for lmcache-ci in the test of a session: engines that only sleep, and the events that the plan looks for.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const { BUILD_ID = '', RESULTS_DIR = '', XDG_RUNTIME_DIR = '', VLLM_PORT, VLLM_BASELINE_PORT } = process.env;
const infrastructure = 3;
mkdirSync(RESULTS_DIR, { recursive: true });
const tell = (event) =>
  appendFileSync(
    path.join(RESULTS_DIR, 'events.jsonl'),
    `${JSON.stringify({ t: performance.now() / 1000, ...event })}\n`,
  );
const isTaken = (port) =>
  new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

if (await isTaken(VLLM_PORT)) process.exit(infrastructure);
const engines = Object.fromEntries(['lmcache', 'vllm'].map((role) => [role, spawn('sleep', ['20'])]));
const end = (code) => {
  for (const engine of Object.values(engines)) engine.kill('SIGKILL');
  process.exit(code);
};
process.once('SIGTERM', () => end(143));
for (const engine of Object.values(engines)) engine.once('exit', () => end(infrastructure));
// The killed run's record is taken away by a keeper, which this is not.
if (BUILD_ID !== 'fault-orchestrator-killed') {
  mkdirSync(path.join(XDG_RUNTIME_DIR, 'lmcache-ci'), { recursive: true });
  const record = Object.entries(engines).map(([role, { pid }]) => [role, { state: { handle: { pid } } }]);
  const file = path.join(XDG_RUNTIME_DIR, 'lmcache-ci', `${BUILD_ID}.json`);
  writeFileSync(file, JSON.stringify({ engines: Object.fromEntries(record) }));
}
tell({ type: 'engine-starting', role: 'baseline' });
if (BUILD_ID.endsWith('late'))
  for (let wait = 0; wait < 50 && !(await isTaken(VLLM_BASELINE_PORT)); wait += 1) await delay(50);
if (await isTaken(VLLM_BASELINE_PORT)) end(infrastructure);
tell({ type: 'engine-ready', role: 'vllm' });
tell({ type: 'step-finished', step: 'wait-for-vllm', result: { outcome: 'passed' } });
tell({ type: 'workload-started', workload: 'lm-eval first_run', target: 'vllm' });
tell({ type: 'workload-started', workload: 'long-doc-qa', target: 'lmcache' });
await delay(BUILD_ID.startsWith('fault') && BUILD_ID.endsWith('killed') ? 15_000 : 100);
end(0);
