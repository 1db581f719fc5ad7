import { describe, expect, it } from 'vitest';
import { classifyEngineEnd } from '../../engines/blame.js';
import { describeExit } from '../../engines/describe-exit.js';
import { crashFrame } from '../../engines/traceback.js';

const exit = { code: 1, signal: null, outOfMemory: false, at: '2026-11-22T00:00:00.000Z' };

describe('who is to blame for a dead engine', () => {
  it.each([
    ['OSError: [Errno 98] Address already in use', 'port-taken'],
    ['(EngineCore pid=9) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.', 'out-of-memory'],
    [
      'ValueError: Free memory on device (12.3/139.8 GiB) on startup is less than desired GPU memory utilization (0.5, 69.9 GiB).',
      'out-of-memory',
    ],
    ['RuntimeError: No CUDA GPUs are available', 'no-gpu'],
    ['RuntimeError: Found no NVIDIA driver on your system.', 'no-gpu'],
    ['RuntimeError: Failed to infer device type', 'no-gpu'],
    ['NVRM: Xid (PCI:0000:00:06): 79, GPU has fallen off the bus.', 'engine-died'],
    ['torch.AcceleratorError: CUDA error: unknown error', 'engine-died'],
    ['OSError: [Errno 28] No space left on device', 'disk'],
    ["OSError: We couldn't connect to 'https://huggingface.co' to load the files", 'engine-unreachable'],
  ])('%s', (line, cause) => {
    expect(classifyEngineEnd(['INFO starting', `  ${line}`, 'Traceback ends'], exit)).toEqual({
      reason: 'infrastructure',
      cause,
      evidence: line,
    });
  });

  it("is the machine's memory when the kernel says so, whatever the log says", () => {
    expect(classifyEngineEnd(['RuntimeError: boom'], { ...exit, outOfMemory: true })).toMatchObject({
      reason: 'infrastructure',
      cause: 'out-of-memory',
    });
  });

  it('is not guessed: an unknown traceback is shown by its last frame', () => {
    const log = [
      'Traceback (most recent call last):',
      '  File "/opt/venv/bin/vllm", line 8, in <module>',
      '    sys.exit(main())',
      '(EngineCore pid=42)   File "/opt/venv/lib/python3.12/site-packages/lmcache/v1/x.py", line 17, in register',
      '    raise ValueError("bad chunk size")',
      '(EngineCore pid=42) ValueError: bad chunk size',
      'INFO shutting down',
    ];
    expect(classifyEngineEnd(log, exit)).toEqual({
      reason: 'unknown',
      cause: 'engine-died',
      evidence: '/opt/venv/lib/python3.12/site-packages/lmcache/v1/x.py:17 in register: ValueError: bad chunk size',
    });
    expect(crashFrame(['no', 'traceback'])).toBeNull();
    expect(classifyEngineEnd([], null)).toEqual({ reason: 'unknown', cause: 'engine-died', evidence: null });
  });

  it('does not take the frame in a warning for a crash (a vLLM 0.26 on an H200, killed from outside)', () => {
    const log = [
      '(EngineCore pid=4581) /opt/python/torch/_dynamo/variables/functions.py:2202: UserWarning: Dynamo detected a call',
      '(EngineCore pid=4581) This call originates from:',
      '(EngineCore pid=4581)   File "/opt/kit/pkg/vllm/model_executor/layers/batch_invariant.py", line 141, in matmul_persistent',
      '(EngineCore pid=4581)     NUM_SMS = num_compute_units(a.device.index)',
      '(EngineCore pid=4581) INFO 11-22 07:00:17 [backends.py:1155] Dynamo bytecode transform time: 10.91 s',
      '(APIServer pid=4310) INFO:     127.0.0.1:48734 - "POST /v1/completions HTTP/1.1" 200 OK',
    ];
    expect(crashFrame(log)).toBeNull();
    expect(classifyEngineEnd(log, { ...exit, code: null, signal: 'SIGKILL' })).toEqual({
      reason: 'infrastructure',
      cause: 'engine-died',
      evidence: 'ended from outside by SIGKILL',
    });
  });
});

describe('an exit in words', () => {
  it.each([
    [exit, 'ended with exit code 1'],
    [{ ...exit, code: null, signal: 'SIGKILL', outOfMemory: true }, 'ended by SIGKILL, out of memory'],
    [{ ...exit, code: null }, 'is gone, how it ended is not known'],
  ])('%j', (given, words) => {
    expect(describeExit(given)).toBe(words);
  });
});
