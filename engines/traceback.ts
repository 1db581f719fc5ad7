/** One Python traceback of a log; numbers are positions in its lines. */
interface Traceback {
  readonly start: number;
  /** Its last `File "...", line N, in f`. */
  readonly frame: number | null;
  /** `ValueError: ...` below its last frame. */
  readonly exception: number | null;
}

const tracebackStart = /Traceback \(most recent call last\)/;
/** `  File "/x/y.py", line 12, in f` */
const frameLine = /^.*\bFile "([^"]+)", line (\d+), in (.+)$/;
const exceptionLine = /^(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt|Timeout|Again)\b.*$/;
const chained = /During handling of the above exception|direct cause of the following exception/;
/** An exception that nobody was to see, from the tearing down. */
const ignored = /Exception ignored in/;
/** An exception that only says that there was another one, elsewhere. */
const wrapper =
  /Engine core initialization failed|EngineDeadError|See (?:root cause|stack trace)|EngineCore encountered an issue|WorkerProc initialization failed|^RuntimeError: cancelled|Executor failed|died unexpectedly/;

/**
 * What stands before a line's own words: `(EngineCore pid=42) ERROR 11-22 03:12:45 [core.py:1136] ` as vLLM's logger has
 * it, `[rank0]: ` as torch has it.
 */
const loggerPrefix =
  /^\s*(?:\([^)]*\)\s*)*(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(?:\d\d-\d\d \d\d:\d\d:\d\d\s*)?(?:\[[^\]]+:\d+\]\s?)?)?(?:\[rank\d+\]:\s?)?/;
const ownWords = (line: string): string => line.replace(loggerPrefix, '').trim();

/**
 * The lines of the traceback that ended a program: the last that is no consequence of another one, with those it is
 * chained to, to the end of the log. null without a traceback.
 */
export function decidingTraceback(log: readonly string[]): readonly string[] | null {
  const tracebacks = findTracebacks(log);
  const root = rootOf(log, tracebacks);
  if (root === null) return null;
  let from = root.start;
  for (const { start } of tracebacks.slice(0, tracebacks.indexOf(root)).reverse()) {
    if (!log.slice(start, from).some((line) => chained.test(line))) break;
    from = start;
  }
  return log.slice(from);
}

/**
 * `file.py:12 in function: RuntimeError: ...` of the traceback that ended a program, or null without one. A frame alone is
 * none: warnings name one too (torch's "This call originates from:").
 */
export function crashFrame(log: readonly string[]): string | null {
  const root = rootOf(log, findTracebacks(log));
  const match = frameLine.exec(log[root?.frame ?? -1] ?? '');
  if (!root || !match) return null;
  const [, file, line, name] = match;
  const exception = root.exception === null ? '' : `: ${ownWords(log[root.exception] ?? '')}`;
  return `${file}:${line} in ${name}${exception}`;
}

function rootOf(log: readonly string[], tracebacks: readonly Traceback[]): Traceback | null {
  const isRoot = ({ exception }: Traceback) => exception === null || !wrapper.test(ownWords(log[exception] ?? ''));
  // Where the first cause is above what was kept, the oldest consequence is nearest to it.
  return tracebacks.findLast(isRoot) ?? tracebacks[0] ?? null;
}

function findTracebacks(log: readonly string[]): readonly Traceback[] {
  const starts = log.flatMap((line, index) => (tracebackStart.test(line) ? [index] : []));
  return starts.flatMap((start, position): Traceback[] => {
    const above = log[start - 1] ?? '';
    if (ignored.test(above)) return [];
    const lines = log.slice(start, starts[position + 1] ?? log.length);
    const exceptionAt = lines.findIndex((line, index) => index > 0 && exceptionLine.test(ownWords(line)));
    const frameAt = (exceptionAt < 0 ? lines : lines.slice(0, exceptionAt)).findLastIndex((line) =>
      frameLine.test(line),
    );
    return [
      {
        start,
        frame: frameAt < 0 ? null : start + frameAt,
        exception: exceptionAt < 0 ? null : start + exceptionAt,
      },
    ];
  });
}
