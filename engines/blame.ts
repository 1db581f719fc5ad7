import type { FailureCause, FailureReason } from '../results-schema/step-result.js';
import type { EngineExit } from './engine-state.js';

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
}

/** What a machine, not the code under test, does to an engine. The first rule that matches a line decides. */
const infrastructureRules: readonly Rule[] = [
  { pattern: /address already in use|EADDRINUSE|errno 98\b/i, cause: 'port-taken' },
  {
    pattern:
      /CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|Free memory on device .* is less than desired/i,
    cause: 'out-of-memory',
  },
  { pattern: /Cannot allocate memory|MemoryError\b|errno 12\b/i, cause: 'out-of-memory' },
  {
    pattern:
      /No CUDA GPUs are available|Found no NVIDIA driver|no CUDA-capable device|could not select device driver|NVIDIA-SMI has failed|Failed to infer device type/i,
    cause: 'no-gpu',
  },
  {
    pattern: /\bXid\b|CUDA error|uncorrectable ECC|NCCL error|CUDA driver version is insufficient/i,
    cause: 'engine-died',
  },
  { pattern: /No space left on device|ENOSPC|Disk quota exceeded/i, cause: 'disk' },
  {
    pattern:
      /huggingface\.co.*(?:Max retries|timed out|unreachable)|Cannot reach https:\/\/huggingface|LocalEntryNotFoundError|couldn't connect to 'https:\/\/huggingface|Temporary failure in name resolution|Name or service not known|Network is unreachable/i,
    cause: 'engine-unreachable',
  },
];

/** `  File "/x/y.py", line 12, in f` */
const frame = /^.*\bFile "([^"]+)", line (\d+), in (.+)$/;
const exceptionLine = /^(?:\([^)]*\)\s*)?(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b.*$/;

/** Hardware speaks for itself, wherever its line stands. */
const hardwareLine = /\bNVRM: Xid\b|\bXid \(PCI/;
/** An exception that only says that there was another one. */
const wrapper =
  /Engine core initialization failed|EngineDeadError|See root cause above|EngineCore encountered an issue/;
const tracebackStart = /Traceback \(most recent call last\)/;
const chained = /During handling of the above exception|direct cause of the following exception/;
/** Lines that say what is no failure. */
const harmless = /(?:^|\s|\))(?:DEBUG|INFO|WARNING|WARN)\b/;

/**
 * Judges an engine that ended by itself. A known trouble of the machine is `infrastructure`; everything else is
 * `unknown`, with the last frame of its Python traceback where there is one: it is shown, not guessed at.
 * What was survived (a port that was taken once, a hub that answered at the second try) is not blamed: where
 * there is a traceback, only it is read.
 */
export function classifyEngineEnd(logTail: readonly string[], exit: EngineExit | null): Blame {
  if (exit?.outOfMemory) {
    return { reason: 'infrastructure', cause: 'out-of-memory', evidence: 'ended by the out-of-memory killer' };
  }
  const hardware = logTail.findLast((line) => hardwareLine.test(line));
  if (hardware !== undefined) return { reason: 'infrastructure', cause: 'engine-died', evidence: hardware.trim() };
  const judged = decidingLines(logTail);
  for (const { pattern, cause } of infrastructureRules) {
    const line = judged.findLast((candidate) => pattern.test(candidate));
    if (line !== undefined) return { reason: 'infrastructure', cause, evidence: line.trim() };
  }
  const frameOfCrash = lastTracebackFrame(logTail);
  if (frameOfCrash === null && exit?.daemonLost === true) {
    const evidence = 'its Docker daemon was gone, and ends what it finds running when it is started again';
    return { reason: 'infrastructure', cause: 'daemon-unreachable', evidence };
  }
  if (frameOfCrash === null && (exit?.signal === 'SIGKILL' || exit?.signal === 'SIGTERM')) {
    // No program sends itself these: somebody on this machine did.
    return { reason: 'infrastructure', cause: 'engine-died', evidence: `ended from outside by ${exit.signal}` };
  }
  if (frameOfCrash === null && exit?.code === null && exit.signal === null) {
    // Its container, or whoever watched it, was taken away: a program's own end is seen.
    return {
      reason: 'infrastructure',
      cause: 'engine-died',
      evidence: 'nobody saw its end: removed, or its daemon or keeper is gone',
    };
  }
  return { reason: 'unknown', cause: 'engine-died', evidence: frameOfCrash };
}

/** The last traceback with those it is chained to, and all of them where it only points at another; else all errors. */
function decidingLines(logTail: readonly string[]): readonly string[] {
  const starts = logTail.flatMap((line, index) => (tracebackStart.test(line) ? [index] : []));
  const last = starts.at(-1);
  if (last === undefined) return logTail.filter((line) => !harmless.test(line));
  if (logTail.slice(last).some((line) => wrapper.test(line))) return logTail.slice(starts[0]);
  let from = last;
  for (const start of starts.slice(0, -1).reverse()) {
    if (!logTail.slice(start, from).some((line) => chained.test(line))) break;
    from = start;
  }
  return logTail.slice(from);
}

/**
 * `file.py:12 in function: RuntimeError: ...`, or null without a traceback. A frame alone is none: warnings name one too
 * (torch's "This call originates from:").
 */
export function lastTracebackFrame(logTail: readonly string[]): string | null {
  const at = logTail.findLastIndex((line) => frame.test(line));
  const match = frame.exec(logTail[at] ?? '');
  if (!match) return null;
  const [, file, line, name] = match;
  const exception = logTail.slice(at + 1).find((candidate) => exceptionLine.test(candidate.trim()));
  const hasStart = logTail.slice(0, at).some((candidate) => tracebackStart.test(candidate));
  if (exception === undefined && !hasStart) return null;
  return `${file}:${line} in ${name}${exception === undefined ? '' : `: ${exception.trim()}`}`;
}
