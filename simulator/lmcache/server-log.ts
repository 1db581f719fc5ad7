/** Writes LMCache's log lines: `[2026-11-22 01:10:23,871] LMCache INFO: text (file.py:1:module)`, without its colours. */
export interface ServerLog {
  info(place: string, text: string): void;
  warning(place: string, text: string): void;
  /** uvicorn's lines: `INFO:     text`. */
  uvicorn(level: 'INFO' | 'ERROR', text: string): void;
}

/** @param write takes whole lines, newline included. */
export function createServerLog(write: (line: string) => void): ServerLog {
  const emit = (level: string, place: string, text: string) =>
    write(`[${timestamp()}] LMCache ${level}: ${text} (${place})\n`);
  return {
    info: (place, text) => emit('INFO', place, text),
    warning: (place, text) => emit('WARNING', place, text),
    uvicorn: (level, text) => write(`${`${level}:`.padEnd(10)}${text}\n`),
  };
}

function timestamp(): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  return `${date} ${time},${String(now.getMilliseconds()).padStart(3, '0')}`;
}
