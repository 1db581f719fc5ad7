import type { FailureCause, FailureReason } from '../results-schema/step-result.js';
import type { EngineExit } from './engine-state.js';
import { crashFrame, decidingTraceback } from './traceback.js';

/** Who is to blame for an engine's end, and the line that says so. */
export interface Blame {
  readonly reason: FailureReason;
  readonly cause: FailureCause;
  /** The line of the log (or the exit) that decided it; null when nothing did. */
  readonly evidence: string | null;
}

interface Rule {
  readonly pattern: RegExp;
  readonly cause: FailureCause;
  /** `infrastructure` unless said otherwise. */
  readonly reason?: FailureReason;
}

/** What a machine or a setting, not the code under test, does to an engine. The first rule that matches a line decides. */
const rules: readonly Rule[] = [
  { pattern: /address already in use|EADDRINUSE|errno 98\b/i, cause: 'port-taken' },
  {
    pattern:
      /CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|Free memory on device .* is less than desired/i,
    cause: 'out-of-memory',
  },
  { pattern: /Cannot allocate memory|MemoryError\b|errno 12\b/i, cause: 'out-of-memory' },
  // Its kernel or connector does what no memory, no card allows: the code's bug as likely as the machine's.
  {
    pattern:
      /CUDA error: (?:an illegal (?:memory access|instruction)|device-side assert|misaligned address|invalid (?:argument|configuration argument|device function|device ordinal)|no kernel image)/i,
    reason: 'unknown',
    cause: 'engine-died',
  },
  {
    pattern:
      /No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device|could not select device driver|NVIDIA-SMI has failed|NVMLError_|Failed to initialize NVML|CUDA driver version is insufficient|NVIDIA driver on your system is too old|Error 80[23]: |Failed to infer device type/i,
    cause: 'no-gpu',
  },
  { pattern: /CUDA error|uncorrectable ECC|NCCL error/i, cause: 'engine-died' },
  // The name of a process of vLLM's with the signal that ended it: SIGKILL, mostly of the out-of-memory killer, or SIGBUS.
  {
    pattern: /Failed core proc\(s\): \{.*: -(?:9|7)\b|died unexpectedly \(exit code: -(?:9|7)\)/,
    cause: 'engine-died',
  },
  {
    pattern:
      /No space left on device|ENOSPC|Disk quota exceeded|Read-only file system|errno (?:5|30|116)\]|Stale file handle|SafetensorError.*(?:Incomplete|InvalidHeader|HeaderTo)/i,
    cause: 'disk',
  },
  { pattern: /Failed to find C compiler|Could not find nvcc/i, cause: 'tool-missing' },
  {
    pattern: /gated repo|GatedRepoError|RepositoryNotFoundError|is not a valid model identifier/i,
    reason: 'configuration',
    cause: 'bad-value',
  },
  {
    pattern:
      /huggingface\.co.*(?:Max retries|timed out|unreachable)|Cannot reach https:\/\/huggingface|LocalEntryNotFoundError|couldn't connect to 'https:\/\/huggingface|429 Client Error|Too Many Requests|50[0234] Server Error.*huggingface|CAS service error|IncompleteRead|RemoteDisconnected|httpx\.\w*(?:Timeout|ConnectError|ReadError|RemoteProtocolError)/i,
    cause: 'engine-unreachable',
  },
  {
    pattern:
      /Temporary failure in name resolution|Name or service not known|Network is unreachable|Connection ?refused|Connection ?reset|ECONNREFUSED|ECONNRESET/i,
    cause: 'engine-unreachable',
  },
];

/** Hardware speaks for itself, wherever its line stands. */
const hardwareLine = /\bNVRM: Xid\b|\bXid \(PCI/;
/** Xid errors that a program brings about: exceptions of its kernels, its memory accesses, its own end (NVIDIA's Xid catalogue). */
const programsOwn = /\bXid\b.*?\): (?:13|31|43|45)\b/;
/** Lines that say what is no failure. */
const harmless = /(?:^|\s|\))(?:DEBUG|INFO|WARNING|WARN)\b/;

/**
 * Judges an engine that ended by itself. A known trouble of the machine is `infrastructure`, of a setting
 * `configuration`; everything else is `unknown`, with the last frame of its Python traceback where there is one: it is
 * shown, not guessed at. What was survived (a port that was taken once, a hub that answered at the second try) is not
 * blamed: where there is a traceback, only it is read.
 */
export function classifyEngineEnd(logTail: readonly string[], exit: EngineExit | null): Blame {
  if (exit?.outOfMemory) {
    return { reason: 'infrastructure', cause: 'out-of-memory', evidence: 'ended by the out-of-memory killer' };
  }
  const hardware = logTail.findLast((line) => hardwareLine.test(line) && !programsOwn.test(line));
  if (hardware !== undefined) return { reason: 'infrastructure', cause: 'engine-died', evidence: hardware.trim() };
  const judged = decidingTraceback(logTail) ?? logTail.filter((line) => !harmless.test(line));
  const frameOfCrash = crashFrame(logTail);
  for (const { pattern, cause, reason = 'infrastructure' } of rules) {
    const line = judged.findLast((candidate) => pattern.test(candidate));
    if (line === undefined) continue;
    return { reason, cause, evidence: reason === 'unknown' && frameOfCrash !== null ? frameOfCrash : line.trim() };
  }
  if (frameOfCrash !== null) return { reason: 'unknown', cause: 'engine-died', evidence: frameOfCrash };
  return byExit(exit);
}

/** What its end alone says, where its log says nothing. */
function byExit(exit: EngineExit | null): Blame {
  if (exit?.daemonLost === true) {
    const evidence = 'its Docker daemon was gone, and ends what it finds running when it is started again';
    return { reason: 'infrastructure', cause: 'daemon-unreachable', evidence };
  }
  const died = (evidence: string): Blame => ({ reason: 'infrastructure', cause: 'engine-died', evidence });
  if (exit?.signal === 'SIGBUS') {
    const evidence = 'ended by SIGBUS: no memory was left for what it had mapped (/dev/shm full?), or a disk failed';
    return { reason: 'infrastructure', cause: 'out-of-memory', evidence };
  }
  // No program sends itself these: somebody on this machine did.
  if (exit?.signal === 'SIGKILL' || exit?.signal === 'SIGTERM') return died(`ended from outside by ${exit.signal}`);
  if (exit?.code === null && exit.signal === null) {
    // Its container, or whoever watched it, was taken away: a program's own end is seen.
    return died('nobody saw its end: removed, or its daemon or keeper is gone');
  }
  return { reason: 'unknown', cause: 'engine-died', evidence: null };
}
