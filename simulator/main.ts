import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runLmServer } from './lmcache/lm-server.js';
import { runCacheServer } from './lmcache/run-server.js';
import { raisePriority } from './priority.js';
import { API_SERVER_PARSER, VLLM_SERVE_PARSER } from './vllm-args.js';
import { runVllmServe } from './vllm-serve.js';

const USAGE = `usage: lmcache-ci simulate vllm serve MODEL [options]
       lmcache-ci simulate lmcache server --l1-size-gb N [options]
       lmcache-ci simulate python3 -m lmcache.v1.multiprocess.server --l1-size-gb N [options]
       lmcache-ci simulate lmcache_server HOST PORT [cpu|FOLDER]
       lmcache-ci simulate python3 -m vllm.entrypoints.openai.api_server --model MODEL [options]
SIM_PROFILE, SIM_SPEED and SIM_FAULT set the simulation; the options are those of the real programs.
`;
/** How the modules' programs may be spelt: python3, /opt/venv/bin/python3, python3.12. */
const PYTHON = /(^|\/)python(3(\.\d+)?)?$/;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

type Program = (signal: AbortSignal) => Promise<number>;

/**
 * Runs a simulated server given as the command line of the real one (`vllm serve ...`, `lmcache server ...`,
 * `python3 -m ...`) until SIGTERM or SIGINT, and sets process.exitCode: 0 ended when asked, 1 failed, 2 usage.
 */
export async function runSimulator(args: readonly string[]): Promise<void> {
  const program = findProgram(args);
  if (program === null) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  raisePriority();
  const ending = new AbortController();
  const end = (): void => ending.abort();
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    process.exitCode = await program(ending.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

function findProgram(args: readonly string[]): Program | null {
  const [first = '', second, third] = args;
  const run = (signal: AbortSignal) => ({
    environment: process.env,
    signal,
    write: (text: string) => void process.stdout.write(text),
    writeError: (text: string) => void process.stderr.write(text),
  });
  const vllm = /(^|\/)vllm$/.test(first) && second === 'serve';
  if (vllm) return (signal) => runVllmServe(VLLM_SERVE_PARSER, args.slice(2), run(signal));
  const lmcache = /(^|\/)lmcache$/.test(first) && second === 'server';
  if (lmcache) return (signal) => runCacheServer('server', args.slice(2), run(signal));
  if (/(^|\/)lmcache_server$/.test(first)) return (signal) => runLmServer(args.slice(1), run(signal));
  if (!PYTHON.test(first) || second !== '-m') return null;
  if (third === 'lmcache.v1.server' || third === 'lmcache.server') {
    return (signal) => runLmServer(args.slice(3), run(signal));
  }
  if (third === 'lmcache.v1.multiprocess.server') {
    return (signal) => runCacheServer('module', args.slice(3), run(signal));
  }
  if (third === 'vllm.entrypoints.openai.api_server') {
    return (signal) => runVllmServe(API_SERVER_PARSER, args.slice(3), run(signal));
  }
  return null;
}

const startedDirectly =
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (startedDirectly) await runSimulator(process.argv.slice(2));
