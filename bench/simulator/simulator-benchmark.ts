import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { textTable } from '../../report/text-table.js';
import { RealTimeClock } from '../../simulator/clock.js';
import { BlockHashChain } from '../../simulator/engine/block-hash.js';
import { Pacer } from '../../simulator/engine/pacer.js';
import { tokenIdsField } from '../../simulator/http/field-schemas.js';
import { chunkHashes } from '../../simulator/lmcache/chunk-hash.js';
import { raisePriority } from '../../simulator/priority.js';
import { loadTokenizer } from '../../simulator/tokenizer/load-tokenizer.js';
import { assetPath } from '../../steps/package-root.js';
import { median } from '../../workloads/statistics.js';
import { type Lateness, latenessOf } from './lateness.js';
import { writePacedProfile } from './paced-profile.js';
import { compileTool, readTokenStreams } from './token-streams.js';

const MODEL = 'Qwen/Qwen3-8B';
/** The kernel counts a process's time in these. */
const TICKS_A_SECOND = 100;
const PROMPT_TOKENS = 10_000;

interface Target {
  readonly name: string;
  readonly unit: string;
  readonly target: number;
  readonly atLeast?: boolean;
}

interface Round {
  /** In the order of `targetsOf`. */
  readonly figures: readonly number[];
  /** What a program has that writes the same and computes nothing; null where that says nothing. */
  readonly floors: readonly (number | null)[];
  /** Part of the time at real speed that the server could run and something else had its core, percent. */
  readonly coreTakenPercent: number;
}

/**
 * Prints how well the simulated server keeps its schedule, and what its work costs, against the targets: medians of the
 * rounds with the least and the greatest value behind, and what a program has that only writes. The server has one core,
 * its client another.
 * @returns 0 when all medians meet their targets, 1 when not.
 */
export async function runSimulatorBenchmark(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '60' },
      rounds: { type: 'string', default: '1' },
      'server-core': { type: 'string', default: '0' },
      'client-core': { type: 'string', default: '1' },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds >= 1)) throw new Error(`--seconds is "${values.seconds}"; it must be a number of at least 1`);
  const count = Number(values.rounds);
  if (!Number.isInteger(count) || count < 1) {
    throw new Error(`--rounds is "${values.rounds}"; it must be a whole number of at least 1`);
  }
  raisePriority();
  pin(process.pid, values['client-core']);
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-simulator-'));
  try {
    const places = {
      folder,
      client: { program: compileTool('token-client', folder), core: values['client-core'] },
      writer: compileTool('token-writer', folder),
      core: values['server-core'],
    };
    const rounds: Round[] = [];
    const before = processorTicks();
    while (rounds.length < count) rounds.push(await measureRound(places, seconds));
    const after = processorTicks();
    const stolen = ((after.stolen - before.stolen) / (after.all - before.all)) * 100;
    return print(targetsOf(seconds), rounds, stolen);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function targetsOf(seconds: number): readonly Target[] {
  return [
    { name: '64 streams at 10 ms: token early or late, p99', unit: 'ms', target: 1 },
    { name: `64 streams at 10 ms: drift over ${seconds} s`, unit: 'ms', target: 0.5 },
    { name: "512 streams at 20 ms: a step's first token early or late, p99", unit: 'ms', target: 1 },
    { name: "512 streams at 20 ms: a step's last token late, p99", unit: 'ms', target: 8 },
    { name: `512 streams at 20 ms: drift over ${seconds} s`, unit: 'ms', target: 0.5 },
    { name: 'tokens a second of one core', unit: '', target: 50_000, atLeast: true },
    { name: '10,000 tokens as ids: read and hashed', unit: 'ms', target: 3 },
    { name: '10,000 tokens as text: tokenised and hashed', unit: 'ms', target: 30 },
  ];
}

interface Places {
  readonly folder: string;
  readonly client: { readonly program: string; readonly core: string };
  readonly writer: string;
  /** The server's. */
  readonly core: string;
}

async function measureRound(places: Places, seconds: number): Promise<Round> {
  const ofFew = { streams: 64, stepMs: 10, tokens: Math.round((seconds * 1000) / 10), speed: 1 };
  const ofMany = { streams: 512, stepMs: 20, tokens: Math.round((seconds * 1000) / 20), speed: 1 };
  const few = await measure(places, ofFew);
  const fewWritten = await measureFloor(places, ofFew);
  const many = await measure(places, ofMany);
  const manyWritten = await measureFloor(places, ofMany);
  const fast = await measure(places, { streams: 256, stepMs: 10, tokens: 2000, speed: 1000 });
  const small = lateness(few.streams, ofFew);
  const large = lateness(many.streams, ofMany);
  const costs = promptCosts();
  return {
    figures: [...timing(small, large), (256 * 2000) / fast.cpuSeconds, costs.ids, costs.text],
    floors: [...timing(fewWritten, manyWritten), null, null, null],
    coreTakenPercent: ((few.waitedSeconds + many.waitedSeconds) / (few.seconds + many.seconds)) * 100,
  };
}

/** What the targets of 64 and of 512 streams are about, in their order. */
function timing(few: Lateness, many: Lateness): readonly number[] {
  return [few.p99, Math.abs(few.drift), many.firstP99, many.lastP99, Math.abs(many.drift)];
}

interface Run {
  readonly streams: readonly Float64Array[];
  /** The server's, user and system. */
  readonly cpuSeconds: number;
  /** For how long its main thread waited for its core, and for how long the streams ran. */
  readonly waitedSeconds: number;
  readonly seconds: number;
}

interface Load {
  readonly streams: number;
  readonly stepMs: number;
  readonly tokens: number;
  readonly speed: number;
}

async function measure({ folder, client, core }: Places, load: Load): Promise<Run> {
  const profile = path.join(folder, `paced-${load.streams}.json`);
  writePacedProfile(profile, MODEL, load.streams, load.stepMs);
  const log = path.join(folder, 'server.log');
  const logFile = openSync(log, 'w');
  const server = spawn(
    process.execPath,
    [
      assetPath('dist', 'simulator', 'main.js'),
      'vllm',
      'serve',
      MODEL,
      '--host',
      '127.0.0.1',
      '--port',
      '0',
      '--no-async-scheduling',
    ],
    {
      env: { ...process.env, SIM_PROFILE: profile, SIM_SPEED: String(load.speed), SIM_FAULT: '' },
      stdio: ['ignore', 'pipe', logFile],
    },
  );
  closeSync(logFile);
  try {
    const port = await portOf(server, /Starting vLLM server on http:\/\/[^:]+:(\d+)/).catch((error) => {
      throw new Error(`${error.message}:\n${readFileSync(log, 'utf8')}`);
    });
    pin(server.pid ?? 0, core);
    // Code is compiled and connections are made before anything counts.
    await readTokenStreams(client, port, MODEL, load.streams, 50);
    const pid = server.pid ?? 0;
    const before = { at: performance.now(), cpu: cpuSecondsOf(pid), waited: coreWaitSecondsOf(pid) };
    const streams = await readTokenStreams(client, port, MODEL, load.streams, load.tokens);
    return {
      streams,
      cpuSeconds: cpuSecondsOf(pid) - before.cpu,
      waitedSeconds: coreWaitSecondsOf(pid) - before.waited,
      seconds: (performance.now() - before.at) / 1000,
    };
  } finally {
    server.kill('SIGTERM');
    if (server.exitCode === null) await once(server, 'exit');
  }
}

/** Of a program in the server's place that writes as many tokens on the same schedule, and computes nothing. */
async function measureFloor({ client, writer, core }: Places, load: Load): Promise<Lateness> {
  const schedule = [load.streams, load.stepMs, load.tokens, leadMs(load.streams)].map(String);
  const program = spawn('taskset', ['-c', core, writer, ...schedule], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(program, 'exit');
  try {
    const port = await portOf(program, /^(\d+)$/);
    return lateness(await readTokenStreams(client, port, MODEL, load.streams, load.tokens), load);
  } finally {
    program.kill('SIGTERM');
    await ended;
  }
}

function lateness(streams: readonly Float64Array[], { streams: count, stepMs }: Load): Lateness {
  return latenessOf(streams, stepMs, leadMs(count));
}

/** By how much the simulated server begins a step's tokens before their time. */
function leadMs(tokens: number): number {
  return new Pacer(new RealTimeClock(1)).leadSeconds(tokens) * 1000;
}

async function portOf(server: ChildProcess, line: RegExp): Promise<number> {
  if (server.stdout === null) throw new Error('the server has no output');
  const lines = createInterface({ input: server.stdout });
  for await (const text of lines) {
    const port = line.exec(text)?.[1];
    if (port !== undefined) {
      server.stdout.resume();
      return Number(port);
    }
  }
  throw new Error('a server has ended before it served');
}

function pin(pid: number, core: string): void {
  const pinning = spawn('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
  pinning.on('error', () => undefined);
}

/** Of all cores since the machine started; `stolen` is what a hypervisor gave to others while work waited here. */
function processorTicks(): { readonly stolen: number; readonly all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is part of user's.
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { stolen: ticks[7] ?? 0, all: ticks.reduce((sum, value) => sum + value, 0) };
}

/** User and system time of a process. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** Time that a process's main thread could run and did not get its core (the kernel's sched-stats, second field). */
function coreWaitSecondsOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e9;
}

/** Median ms of what the server does with a prompt before the engine sees it. */
function promptCosts(): { readonly ids: number; readonly text: number } {
  const tokenizer = loadTokenizer({ tokenizerDir: null, model: MODEL, hfHome: '/nowhere', vocabularySize: 151_936 });
  const hash = (ids: readonly number[]): void => {
    new BlockHashChain(16).extend(ids.length, (position) => ids[position] ?? 0);
    chunkHashes(ids, 256, MODEL);
  };
  const ids = Array.from({ length: PROMPT_TOKENS }, (_, index) => (index * 7919) % 151_643);
  const body = JSON.stringify({ prompt: ids });
  const words = Array.from({ length: PROMPT_TOKENS }, (_, index) =>
    tokenizer.decode([1000 + ((index * 7919) % 50_000)]),
  );
  const text = words.join('');
  return {
    ids: medianMs(() => {
      const parsed: { prompt?: unknown } = JSON.parse(body);
      hash(tokenIdsField.parse(parsed.prompt));
    }),
    text: medianMs((round) => hash(tokenizer.encode(`${round} ${text}`))),
  };
}

function medianMs(work: (round: number) => void): number {
  const samples: number[] = [];
  for (let round = 0; round < 40; round += 1) {
    const startedAt = performance.now();
    work(round);
    // The first ones compile.
    if (round >= 10) samples.push(performance.now() - startedAt);
  }
  return median(samples);
}

/** @param stolen percent of the processors' time. */
function print(targets: readonly Target[], rounds: readonly Round[], stolen: number): number {
  const shown = (value: number, unit: string): string =>
    unit === '' ? Math.round(value).toLocaleString('en-US') : `${value.toFixed(2)} ${unit}`;
  const judged = targets.map(({ name, unit, target, atLeast }, figure) => {
    const values = rounds.map(({ figures }) => figures[figure] ?? Number.NaN);
    const middle = median(values);
    const isMet = atLeast ? middle >= target : middle <= target;
    const spread = `${shown(Math.min(...values), unit)} to ${shown(Math.max(...values), unit)}, n=${values.length}`;
    const floors = rounds.map(({ floors }) => floors[figure] ?? Number.NaN);
    const floor = floors.some(Number.isNaN) ? '' : shown(median(floors), unit);
    const row = [name, shown(middle, unit), spread, floor, `${atLeast ? '>=' : '<='} ${shown(target, unit)}`];
    return { isMet, row: [...row, isMet ? 'met' : 'MISSED'] };
  });
  const head = ['simulator', 'measured', 'spread', 'only written', 'target', ''];
  process.stdout.write(`${textTable([head, ...judged.map(({ row }) => row)], [1, 2, 3, 4])}\n`);
  const taken = rounds.map(({ coreTakenPercent }) => coreTakenPercent);
  process.stdout.write(
    `Of the time at real speed, the server waited ${shown(Math.min(...taken), '%')} to ${shown(Math.max(...taken), '%')} for its core while something else ran on it.\n`,
  );
  process.stdout.write(`Stolen from this machine by its hypervisor meanwhile: ${stolen.toFixed(1)} %.\n`);
  return judged.every(({ isMet }) => isMet) ? 0 : 1;
}
