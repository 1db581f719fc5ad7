// One client against the mock server: what it said against what the server knows.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const TTFT_MS = 50;
const ITL_MS = 10;
const SAMPLE_INTERVAL_MS = 20;

/** Compiles the mock server into `directory` and starts it on a core of its own. */
export async function startMock(directory, core) {
  const source = fileURLToPath(new URL('mock-server.c', import.meta.url));
  const program = path.join(directory, 'mock-server');
  const compiled = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(`"cc" cannot compile ${source}: ${compiled.error ?? compiled.stderr}`);
  const child = spawn('taskset', ['-c', core, program, String(TTFT_MS), String(ITL_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  return { port: Number(String(line).replace('listening ', '')), stop: () => child.kill() };
}

/**
 * Runs a client on one core. Milliseconds unless the name says otherwise.
 * Errors are the client's TTFT less the server's own time from the end of the body to the first token.
 */
export async function measureClient(command, mock, core, directory) {
  const url = `http://127.0.0.1:${mock.port}`;
  await (await fetch(`${url}/forget`)).text();
  const resultFile = path.join(directory, 'result.json');
  rmSync(resultFile, { force: true });
  const startedAt = process.hrtime.bigint();
  const child = spawn('taskset', ['-c', core, ...command], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1', VLLM_NO_USAGE_STATS: '1' },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr = (stderr + text).slice(-4000);
  });
  const usage = [];
  const watch = setInterval(() => {
    const sample = usageOf(child.pid);
    if (sample !== null) usage.push({ at: process.hrtime.bigint(), ...sample });
  }, SAMPLE_INTERVAL_MS);
  const [code] = await once(child, 'close');
  clearInterval(watch);
  const times = await (await fetch(`${url}/times`)).json();
  let result;
  try {
    result = JSON.parse(readFileSync(resultFile, 'utf8'));
  } catch {
    throw new Error(`"${command.join(' ')}" ended with ${code} and no result:\n${stderr}`);
  }
  return { ...timingErrors(result, times), ...costs(result, times, usage, startedAt) };
}

function timingErrors(result, times) {
  // Request ids end with the request's number where the client sends them; else the order of arrival has to do.
  const byNumber = new Map(times.map((time, index) => [Number(/\d+$/.exec(time.id)?.[0] ?? index), time]));
  const errors = result.ttfts.flatMap((ttft, index) => {
    const time = byNumber.get(index);
    return time === undefined || ttft === 0 ? [] : [ttft * 1000 - (time.firstSentAt - time.bodyAt) / 1e6];
  });
  const sorted = errors.sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { failed: result.failed ?? 0, ttftErrorMedian: at(0.5), ttftErrorP99: at(0.99) };
}

function costs(result, times, usage, startedAt) {
  const firstByteAt = Math.min(...times.map((time) => time.firstByteAt));
  const lastSentAt = Math.max(...times.map((time) => time.lastSentAt));
  const cpuAt = (at) => usage.findLast((sample) => Number(sample.at) <= at)?.cpuSeconds ?? 0;
  const tokens = times.reduce((total, time) => total + time.tokens, 0);
  return {
    cpuUsPerToken: ((cpuAt(lastSentAt) - cpuAt(firstByteAt)) * 1e6) / tokens,
    wallSeconds: result.duration,
    firstToLastByteSeconds: (lastSentAt - firstByteAt) / 1e9,
    startSeconds: (firstByteAt - Number(startedAt)) / 1e9,
    peakMiB: Math.max(...usage.map((sample) => sample.peakKiB)) / 1024,
  };
}

/** CPU time and peak memory of a process that lives. */
function usageOf(pid) {
  try {
    // Nanoseconds each thread ran: finer than the ticks of /proc/PID/stat.
    const cpuNs = readdirSync(`/proc/${pid}/task`).map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    );
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      cpuSeconds: cpuNs.reduce((total, ns) => total + ns, 0) / 1e9,
      peakKiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0),
    };
  } catch {
    return null;
  }
}
