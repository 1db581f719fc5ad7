import { describe, expect, it } from 'vitest';
import { classifyEngineEnd } from '../../engines/blame.js';
import type { EngineExit } from '../../engines/engine-state.js';
import type { FailureCause, FailureReason } from '../../results-schema/step-result.js';

const exit: EngineExit = { code: 1, signal: null, outOfMemory: false, at: '2026-11-22T00:00:00.000Z' };
const site = '/opt/venv/lib/python3.12/site-packages';

const traceback = (file: string, ...exception: readonly string[]): readonly string[] => [
  'Traceback (most recent call last):',
  `  File "${site}/vllm/v1/engine/core.py", line 1090, in run_engine_core`,
  '    engine_core = EngineCoreProc(*args, **kwargs)',
  `  File "${site}/${file}", line 17, in fails`,
  '    raise it',
  ...exception,
];
const prefixed = (prefix: string, lines: readonly string[]) => lines.map((line) => prefix + line);

/** How an exception of vLLM's engine core arrives in the log of `vllm serve`: by its logger, by Python, and in consequence. */
function core(file: string, exception: readonly string[], failedProcesses = '{}'): string {
  const root = traceback(file, ...exception);
  return [
    '(APIServer pid=1) INFO 11-22 03:12:01 [api_server.py:1977] vLLM API server version 0.26.0',
    '(EngineCore pid=218) ERROR 11-22 03:12:45 [core.py:1136] EngineCore failed to start.',
    ...prefixed('(EngineCore pid=218) ERROR 11-22 03:12:45 [core.py:1136] ', root),
    '(EngineCore pid=218) Process EngineCore:',
    ...prefixed('(EngineCore pid=218) ', root),
    ...prefixed(
      '(APIServer pid=1) ',
      traceback(
        'vllm/v1/engine/utils.py',
        `RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): ${failedProcesses}`,
      ),
    ),
    // Of the tearing down, and no cause of anything.
    'Exception ignored in: <function Connection.__del__ at 0x7f>',
    ...traceback('lmcache/v1/connection.py', "AttributeError: 'NoneType' object has no attribute 'close'"),
  ].join('\n');
}
const api = (...exception: readonly string[]) =>
  prefixed('(APIServer pid=1) ', traceback('vllm/engine/arg_utils.py', ...exception)).join('\n');

type Row = readonly [name: string, log: string, reason: FailureReason, cause: FailureCause, evidence: RegExp];

const rows: readonly Row[] = [
  [
    "the code's own error, below its consequences",
    core('lmcache/integration/vllm/lmcache_mp_connector.py', ['ValueError: bad chunk size']),
    'unknown',
    'engine-died',
    /lmcache_mp_connector\.py:17 in fails: ValueError: bad chunk size$/,
  ],
  [
    'one that only the logger wrote',
    prefixed(
      '(EngineCore pid=218) ERROR 11-22 03:12:45 [core.py:1136] ',
      traceback('lmcache/v1/x.py', 'KeyError: 4711'),
    ).join('\n'),
    'unknown',
    'engine-died',
    /lmcache\/v1\/x\.py:17 in fails: KeyError: 4711$/,
  ],
  [
    'one of a worker, with the consequences of two processes',
    [
      ...prefixed(
        '(Worker_TP0 pid=300) ERROR 11-22 03:12:45 [multiproc_executor.py:790] ',
        traceback('lmcache/v1/x.py', 'AssertionError: layout'),
      ),
      ...prefixed(
        '(EngineCore pid=218) ',
        traceback(
          'vllm/v1/executor/multiproc_executor.py',
          'Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.',
        ),
      ),
      ...prefixed(
        '(APIServer pid=1) ',
        traceback(
          'vllm/v1/engine/utils.py',
          'RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
        ),
      ),
    ].join('\n'),
    'unknown',
    'engine-died',
    /lmcache\/v1\/x\.py:17 in fails: AssertionError: layout$/,
  ],
  [
    'a hub that was too busy once, then a crash of the code',
    `${api('huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/api/models/Qwen/Qwen3-14B')}\nWARNING 11-22 03:12:02 retrying\n${core('lmcache/v1/x.py', ['TypeError: x'])}`,
    'unknown',
    'engine-died',
    /TypeError: x$/,
  ],
  [
    'NCCL',
    core('vllm/distributed/device_communicators/pynccl_wrapper.py', [
      'RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)',
    ]),
    'infrastructure',
    'engine-died',
    /NCCL error: unhandled system error/,
  ],
  [
    'a driver older than CUDA',
    core('torch/cuda/__init__.py', [
      'RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version',
      'CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.',
    ]),
    'infrastructure',
    'no-gpu',
    /CUDA driver version is insufficient/,
  ],
  [
    'a driver that does not fit its libraries (803)',
    core('torch/cuda/__init__.py', [
      'RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 803: system has unsupported display driver / cuda driver combination',
    ]),
    'infrastructure',
    'no-gpu',
    /Error 803/,
  ],
  [
    'a fabric manager that does not run (802)',
    core('torch/cuda/__init__.py', [
      'RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized',
    ]),
    'infrastructure',
    'no-gpu',
    /Error 802/,
  ],
  [
    "NVML of another version than the kernel's module",
    api('pynvml.NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM version mismatch.'),
    'infrastructure',
    'no-gpu',
    /NVMLError_LibRmVersionMismatch/,
  ],
  [
    'a card that was lost',
    core('vllm/platforms/cuda.py', ['vllm.third_party.pynvml.NVMLError_GpuIsLost: GPU is lost']),
    'infrastructure',
    'no-gpu',
    /GPU is lost/,
  ],
  [
    'an uncorrectable ECC error',
    core('vllm/v1/worker/gpu_worker.py', ['torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered']),
    'infrastructure',
    'engine-died',
    /uncorrectable ECC error/,
  ],
  [
    'an illegal memory access: whose, is not known',
    core('lmcache/v1/gpu_connector.py', [
      'torch.AcceleratorError: CUDA error: an illegal memory access was encountered',
    ]),
    'unknown',
    'engine-died',
    /gpu_connector\.py:17 in fails: .*illegal memory access/,
  ],
  [
    'pinned memory asked for wrongly',
    traceback('lmcache/v1/memory_management.py', 'RuntimeError: CUDA error: invalid argument').join('\n'),
    'unknown',
    'engine-died',
    /memory_management\.py:17 in fails/,
  ],
  [
    'pinned memory that the machine does not have',
    traceback(
      'lmcache/v1/memory_management.py',
      "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 85899345920 bytes. Error code 12 (Cannot allocate memory)",
    ).join('\n'),
    'infrastructure',
    'out-of-memory',
    /85899345920 bytes/,
  ],
  [
    'a page fault that the driver tells (Xid 31): whose, is not known',
    `NVRM: Xid (PCI:0000:18:00): 31, pid=4711, name=vllm, Ch 00000008, MMU Fault\n${core('lmcache/v1/gpu_connector.py', ['RuntimeError: CUDA error: an illegal memory access was encountered'])}`,
    'unknown',
    'engine-died',
    /illegal memory access/,
  ],
  [
    'a card that fell off the bus (Xid 79)',
    `NVRM: Xid (PCI:0000:18:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n${core('vllm/v1/worker/gpu_worker.py', ['RuntimeError: x'])}`,
    'infrastructure',
    'engine-died',
    /Xid .* 79/,
  ],
  [
    'a core process that was killed from outside',
    core(
      'vllm/v1/engine/utils.py',
      ['RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}'],
      "{'EngineCore': -9}",
    ),
    'infrastructure',
    'engine-died',
    /'EngineCore': -9/,
  ],
  [
    'a worker that was killed from outside',
    '(EngineCore pid=218) ERROR 11-22 03:12:45 [multiproc_executor.py:316] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.',
    'infrastructure',
    'engine-died',
    /VllmWorker-1 died unexpectedly/,
  ],
  [
    'a disk that is full',
    core('torch/_inductor/codecache.py', ['OSError: [Errno 28] No space left on device']),
    'infrastructure',
    'disk',
    /Errno 28/,
  ],
  [
    'shared memory that is full',
    core('vllm/distributed/device_communicators/shm_broadcast.py', [
      "OSError: [Errno 28] No space left on device: '/psm_1f2e3d4c'",
    ]),
    'infrastructure',
    'disk',
    /psm_1f2e3d4c/,
  ],
  [
    "a network file system that lost its server's file",
    core('safetensors/torch.py', [
      "OSError: [Errno 116] Stale file handle: '/models/model-00001-of-00008.safetensors'",
    ]),
    'infrastructure',
    'disk',
    /Stale file handle/,
  ],
  [
    'weights that were cut off',
    core('vllm/model_executor/model_loader/weight_utils.py', [
      'safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered (IncompleteMetadata)',
    ]),
    'infrastructure',
    'disk',
    /incomplete metadata/,
  ],
  [
    'no compiler for kernels',
    core('triton/runtime/build.py', [
      'RuntimeError: Failed to find C compiler. Please specify via CC environment variable or set triton.knobs.build.impl.',
    ]),
    'infrastructure',
    'tool-missing',
    /Failed to find C compiler/,
  ],
  [
    'a hub that is asked too often',
    api(
      'huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/api/models/Qwen/Qwen3-14B',
    ),
    'infrastructure',
    'engine-unreachable',
    /429 Client Error/,
  ],
  [
    'a hub that is down',
    api(
      'requests.exceptions.HTTPError: 504 Server Error: Gateway Time-out for url: https://huggingface.co/Qwen/Qwen3-14B/resolve/main/config.json',
    ),
    'infrastructure',
    'engine-unreachable',
    /504 Server Error/,
  ],
  [
    'a hub that does not answer, as newer clients say it',
    api('httpx.ConnectTimeout: timed out'),
    'infrastructure',
    'engine-unreachable',
    /httpx\.ConnectTimeout/,
  ],
  [
    "the hub's storage",
    core('huggingface_hub/file_download.py', [
      'RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Request failed after 5 retries',
    ]),
    'infrastructure',
    'engine-unreachable',
    /CAS service error/,
  ],
  [
    'a model that this token may not read',
    api(
      'huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6604c5e0)',
      '',
      'Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.',
      'Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it and be authenticated to access it.',
    ),
    'configuration',
    'bad-value',
    /gated repo/i,
  ],
  [
    'a model that does not exist',
    api(
      "OSError: Qwen/Qwen3-14Bx is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    ),
    'configuration',
    'bad-value',
    /Qwen\/Qwen3-14Bx is not a local folder/,
  ],
  [
    "LMCache's Redis that is away",
    core('lmcache/v1/storage_backend/connector/redis_connector.py', [
      'redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.',
    ]),
    'infrastructure',
    'engine-unreachable',
    /localhost:6379/,
  ],
  [
    'a port for tensor parallelism that is taken',
    core('torch/distributed/distributed_c10d.py', [
      'torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use',
    ]),
    'infrastructure',
    'port-taken',
    /port: 29500/,
  ],
];

describe('logs of real failures', () => {
  it.each(rows)('%s', (_, log, reason, cause, evidence) => {
    expect(classifyEngineEnd(log.split('\n'), exit)).toEqual({
      reason,
      cause,
      evidence: expect.stringMatching(evidence),
    });
  });

  it('a full /dev/shm ends a program by SIGBUS, without a word', () => {
    expect(classifyEngineEnd(['INFO serving'], { ...exit, code: null, signal: 'SIGBUS' })).toMatchObject({
      reason: 'infrastructure',
      cause: 'out-of-memory',
      evidence: expect.stringContaining('/dev/shm'),
    });
  });
});
