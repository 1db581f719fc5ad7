import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { dockerErrorFrom } from '../../docker/error-normaliser.js';
import { classifyEngineEnd } from '../../engines/blame.js';
import type { EngineExit } from '../../engines/engine-state.js';
import { failureOf } from '../../pipeline/run-step.js';
import type { FailureCause, FailureReason } from '../../results-schema/step-result.js';
import { conclude } from '../../results-schema/verdicts.js';
import { judgeBaselineDifference } from '../../steps/baseline-difference.js';
import { proofGate } from '../../steps/cache-proof.js';
import { buildFailure, dockerFailure } from '../../steps/docker-failure.js';
import { describeLmEvalFailure } from '../../steps/lm-eval/lm-eval-runner.js';
import { requestGate } from '../../steps/request-gate.js';
import { judgeVllmBench } from '../../steps/vllm-bench/judge.js';
import type { RequestOutcome, RequestRecord } from '../../workloads/request.js';

type Row = readonly [name: string, input: string, reason: FailureReason, cause: FailureCause];

const exit: EngineExit = { code: 1, signal: null, outOfMemory: false, at: '2026-11-22T00:00:00.000Z' };
const traceback = (exception: string) =>
  `Traceback (most recent call last):\n  File "/opt/venv/lib/python3.12/site-packages/vllm/x.py", line 1, in f\n    f()\n${exception}`;
const wrapped = (root: string) =>
  `${root.replace(/^/gm, '(EngineCore pid=42) ')}\n${traceback('RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}')}`;

/** The end of an engine's log. */
const engineLogs: readonly Row[] = [
  [
    'CUDA out of memory',
    traceback('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0'),
    'infrastructure',
    'out-of-memory',
  ],
  [
    'CUDA out of memory below a wrapper',
    wrapped(traceback('torch.OutOfMemoryError: CUDA out of memory.')),
    'infrastructure',
    'out-of-memory',
  ],
  [
    'too little GPU memory at start',
    wrapped(
      traceback(
        'ValueError: Free memory on device (12.3/139.8 GiB) on startup is less than desired GPU memory utilization (0.5, 69.9 GiB).',
      ),
    ),
    'infrastructure',
    'out-of-memory',
  ],
  ['host memory', traceback('OSError: [Errno 12] Cannot allocate memory'), 'infrastructure', 'out-of-memory'],
  ["Python's MemoryError", traceback('MemoryError'), 'infrastructure', 'out-of-memory'],
  [
    'GPU fell off the bus',
    `${traceback('ValueError: x')}\nNVRM: Xid (PCI:0000:00:06): 79, GPU has fallen off the bus.`,
    'infrastructure',
    'engine-died',
  ],
  [
    'uncorrectable ECC',
    traceback('torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered'),
    'infrastructure',
    'engine-died',
  ],
  [
    'NCCL',
    traceback('torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:268, unhandled system error'),
    'infrastructure',
    'engine-died',
  ],
  ['no GPU', traceback('RuntimeError: No CUDA GPUs are available'), 'infrastructure', 'no-gpu'],
  ['no driver', traceback('RuntimeError: Found no NVIDIA driver on your system.'), 'infrastructure', 'no-gpu'],
  [
    'no device',
    wrapped(traceback('RuntimeError: Failed to infer device type, please set the environment variable')),
    'infrastructure',
    'no-gpu',
  ],
  ['port taken', traceback('OSError: [Errno 98] Address already in use'), 'infrastructure', 'port-taken'],
  [
    'port taken, as uvicorn says it',
    "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
    'infrastructure',
    'port-taken',
  ],
  [
    'port taken, as ZeroMQ says it',
    traceback('zmq.error.ZMQError: Address already in use (addr="tcp://*:6555")'),
    'infrastructure',
    'port-taken',
  ],
  ['disk full', traceback('OSError: [Errno 28] No space left on device'), 'infrastructure', 'disk'],
  ['quota', traceback("OSError: [Errno 122] Disk quota exceeded: '/root/.cache'"), 'infrastructure', 'disk'],
  [
    'hub unreachable',
    traceback(
      "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
    ),
    'infrastructure',
    'engine-unreachable',
  ],
  [
    'hub, retried out',
    traceback(
      "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /Qwen",
    ),
    'infrastructure',
    'engine-unreachable',
  ],
  [
    'no name server',
    traceback('socket.gaierror: [Errno -3] Temporary failure in name resolution'),
    'infrastructure',
    'engine-unreachable',
  ],
  ['LMCache raises', traceback('ValueError: bad chunk size'), 'unknown', 'engine-died'],
  ['LMCache raises below a wrapper', wrapped(traceback('KeyError: 4711')), 'unknown', 'engine-died'],
  ['an assertion of the connector', traceback('AssertionError: num_computed_tokens'), 'unknown', 'engine-died'],
  [
    'an import that is not there',
    traceback("ImportError: cannot import name 'LMCacheMPConnector'"),
    'unknown',
    'engine-died',
  ],
  [
    'a flag it does not know',
    'usage: vllm serve\nvllm: error: unrecognized arguments: --no-async-scheduling',
    'unknown',
    'engine-died',
  ],
  [
    'a hub that answered at the second try, then a crash',
    `WARNING 11-22 Temporary failure in name resolution, retrying\n${traceback('ValueError: bad chunk size')}`,
    'unknown',
    'engine-died',
  ],
  [
    'an exception that was handled, then a crash',
    `${traceback('OSError: [Errno 98] Address already in use')}\nINFO using another port\n${traceback('TypeError: x')}`,
    'unknown',
    'engine-died',
  ],
  [
    'a crash while a full disk was handled',
    `${traceback('OSError: [Errno 28] No space left on device')}\n\nDuring handling of the above exception, another exception occurred:\n\n${traceback('RuntimeError: log')}`,
    'infrastructure',
    'disk',
  ],
  [
    'a warning about a taken port, and then nothing',
    'WARNING 11-22 port 8000: address already in use, trying 8001\nINFO serving',
    'unknown',
    'engine-died',
  ],
  ['no word at all', '', 'unknown', 'engine-died'],
];

/** How it ended, with nothing in the log. */
const exits: readonly (readonly [string, Partial<EngineExit>, FailureReason, FailureCause])[] = [
  [
    "the kernel's out-of-memory killer",
    { code: null, signal: 'SIGKILL', outOfMemory: true },
    'infrastructure',
    'out-of-memory',
  ],
  ['killed from outside', { code: null, signal: 'SIGKILL' }, 'infrastructure', 'engine-died'],
  ['gone with its daemon or its keeper', { code: null, signal: null }, 'infrastructure', 'engine-died'],
  ['told to end by a daemon that was restarted', { code: 0, daemonLost: true }, 'infrastructure', 'daemon-unreachable'],
  ['an end nobody asked for', { code: 0 }, 'unknown', 'engine-died'],
  ['a segmentation fault', { code: null, signal: 'SIGSEGV' }, 'unknown', 'engine-died'],
  ['an abort of its own', { code: null, signal: 'SIGABRT' }, 'unknown', 'engine-died'],
];

/** What a Docker daemon answered, recorded. */
const dockerAnswers = z
  .record(z.string(), z.object({ error: z.record(z.string(), z.unknown()).optional() }))
  .parse(JSON.parse(readFileSync(new URL('../docker/fixtures/dockerode.json', import.meta.url), 'utf8')));
const docker: readonly Row[] = [
  ['image missing', 'create-missing-image', 'infrastructure', 'image-missing'],
  ['pull refused', 'pull-missing', 'infrastructure', 'image-missing'],
  ['no GPU in the daemon', 'gpus-all', 'infrastructure', 'no-gpu'],
  ['no nvidia runtime', 'runtime-nvidia', 'infrastructure', 'no-gpu'],
  ['port of another container', 'port-in-use-by-container', 'infrastructure', 'port-taken'],
  ['port of a process', 'port-in-use-by-process', 'infrastructure', 'port-taken'],
  ['no daemon', 'daemon-absent', 'infrastructure', 'daemon-unreachable'],
  ['daemon refuses', 'daemon-refused', 'infrastructure', 'daemon-unreachable'],
  ['program not in the image', 'exec-missing', 'infrastructure', 'engine-died'],
];

/** The end of lm_eval's log. */
const lmEval: readonly Row[] = [
  [
    'server refuses',
    'aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:8000',
    'infrastructure',
    'engine-unreachable',
  ],
  [
    'server resets',
    'ConnectionResetError: [Errno 104] Connection reset by peer',
    'infrastructure',
    'engine-unreachable',
  ],
  [
    'server answers 500',
    "aiohttp.client_exceptions.ClientResponseError: 500, message='Internal Server Error'",
    'regression',
    'request-failed',
  ],
  [
    'hub unreachable',
    "ConnectionError: Couldn't reach 'openai/gsm8k' on the Hub (LocalEntryNotFoundError)",
    'infrastructure',
    'tool-missing',
  ],
  [
    'hub, retried out',
    'requests.exceptions.ConnectionError: (MaxRetryError("HTTPSConnectionPool(host=\'huggingface.co\', port=443)"))',
    'infrastructure',
    'tool-missing',
  ],
  ['no answer within the limit', 'asyncio.exceptions.TimeoutError', 'unknown', 'timeout'],
  ['a bug of lm_eval', 'KeyError: resps', 'unknown', 'exception'],
];

type Failed = Extract<RequestOutcome, { state: 'failed' }>;
const failed = (outcome: Omit<Failed, 'state'>): RequestOutcome => ({ state: 'failed', ...outcome }) as Failed;
const httpError = (status: number) =>
  failed({ reason: 'http-error', status, body: '', retryAfterSeconds: null } as Omit<Failed, 'state'>);
const other = (reason: Exclude<Failed['reason'], 'http-error'>) =>
  failed({ reason, message: 'x' } as Omit<Failed, 'state'>);
const requests: readonly (readonly [string, readonly RequestOutcome[], FailureReason, FailureCause])[] = [
  ['all refused or reset', [other('connection'), other('connection')], 'infrastructure', 'engine-unreachable'],
  ['500 answers', [httpError(500)], 'regression', 'request-failed'],
  ['prompts that are too long', [httpError(400)], 'configuration', 'request-failed'],
  ['an error inside the stream', [other('in-band-error')], 'regression', 'request-failed'],
  ['streams that break off', [other('truncated')], 'regression', 'request-failed'],
  ['no answer within the limit', [other('timeout')], 'unknown', 'timeout'],
  ['garbage', [other('invalid-stream')], 'regression', 'request-failed'],
  ['one reset among wrong answers', [other('connection'), httpError(500)], 'regression', 'request-failed'],
];

describe('who is to blame', () => {
  it('is asked in at least 40 failures', () => {
    const tables = [engineLogs, exits, docker, lmEval, requests];
    expect(tables.reduce((sum, table) => sum + table.length, 0)).toBeGreaterThanOrEqual(40);
  });

  it.each(engineLogs)('an engine ends: %s', (_, log, reason, cause) => {
    expect(classifyEngineEnd(log.split('\n'), exit)).toMatchObject({ reason, cause });
  });

  it.each(exits)('an engine ends: %s', (_, end, reason, cause) => {
    expect(classifyEngineEnd([], { ...exit, ...end })).toMatchObject({ reason, cause });
  });

  it('shows the last frame of a traceback, and says who ended it', () => {
    expect(classifyEngineEnd(traceback('ValueError: bad chunk size').split('\n'), exit).evidence).toBe(
      '/opt/venv/lib/python3.12/site-packages/vllm/x.py:1 in f: ValueError: bad chunk size',
    );
    expect(classifyEngineEnd([], { ...exit, code: null, signal: 'SIGKILL' }).evidence).toBe(
      'ended from outside by SIGKILL',
    );
  });

  it.each(docker)('Docker: %s', (_, sample, reason, cause) => {
    const recorded = dockerAnswers[sample]?.error;
    const error = Object.assign(new Error(String(recorded?.['message'])), recorded);
    expect(dockerFailure(dockerErrorFrom(error, 'do it', 'unix:///x.sock'))).toMatchObject({ reason, cause });
  });

  it('a build that fails is infrastructure', () => {
    const failure = { kind: 'build-failed', step: 'RUN make', message: 'exit code 2', lastLines: ['x'] } as const;
    expect(buildFailure(failure, 'tag', 'log')).toMatchObject({ reason: 'infrastructure', cause: 'build-failed' });
  });

  it.each(lmEval)('lm_eval: %s', (_, line, reason, failureCause) => {
    expect(describeLmEvalFailure('first_run', 1, 'log', `${traceback(line)}\n`)).toMatchObject({
      reason,
      failureCause,
    });
  });

  it.each(requests)('requests: %s', (_, outcomes, reason, cause) => {
    const records = outcomes.map((outcome, index) => ({ index, outcome }) as RequestRecord);
    const gate = requestGate('requests', 'Requests', records, records.length);
    expect(conclude({ gates: [gate] })).toMatchObject({ outcome: 'failed', reason, cause });
  });

  it('the code under test, when it is slower with the cache than without', () => {
    const bench = (throughput: number) => ({
      figures: { completed: 5, total_input_tokens: 5000, total_token_throughput: throughput },
      clientOverload: null,
      failures: [],
    });
    const rise = {
      externalQueryTokens: 5000,
      externalHitTokens: 5000,
      gpuHitTokens: 0,
      lookupRequestedTokens: 5000,
      lookupHitTokens: 5000,
      l1ReadChunks: 20,
      l1WriteChunks: 20,
      l1EvictedChunks: 0,
    };
    const slower = judgeVllmBench({
      settings: { NUM_PROMPTS: 5, RANDOM_INPUT_LEN: 1000, RANDOM_SEED: null, MAX_SLOWDOWN_PERCENT: 5 },
      baseline: bench(10_000),
      lmcache: bench(9000),
      timedRise: { ...rise, externalHitTokens: 0 },
      replay: { prompts: 5, rise, resetProblem: null },
      lmcacheHasHttp: true,
      note: null,
    });
    expect(slower).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'threshold' });
  });

  it('the disk, where results cannot be written', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    expect(failureOf(full, new AbortController().signal)).toMatchObject({ reason: 'infrastructure', cause: 'disk' });
  });

  it('the code under test, when its answers differ or the cache was never used', () => {
    const different = judgeBaselineDifference({ differing: 2, compared: 4, allowed: 0, evidence: [] });
    expect(conclude({ gates: different.gates })).toMatchObject({ reason: 'incorrect-output', cause: 'output-differs' });
    const unused = proofGate({ name: 'hits', title: 'Hits', unit: 'tokens', measured: 0, atLeast: 256 }, 'no hits');
    expect(conclude({ gates: [unused] })).toMatchObject({ reason: 'cache-not-exercised', cause: 'threshold' });
  });
});
