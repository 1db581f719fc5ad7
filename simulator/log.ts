import { lmcacheLine } from './lmcache/server-log.js';

/** Writes log lines as vLLM's processes do; the simulator's own remarks are marked as such. */
export interface EngineLog {
  /** A line of the API process: `(APIServer pid=1) INFO 11-22 00:56:39 [model.py:1788] text`. */
  api(level: LogLevel, place: string, text: string): void;
  /** A line of the engine process. */
  engine(level: LogLevel, place: string, text: string): void;
  /** A line of LMCache's own logger in the engine process: `(EngineCore pid=1) [2026-11-22 00:58:11,121] LMCache INFO: text (place)`. */
  lmcache(place: string, text: string): void;
  /** uvicorn's lines about the server itself: `(APIServer pid=1) INFO:     text`. */
  server(text: string): void;
  /** uvicorn's lines about requests, in the same form. */
  access(text: string): void;
}

/** Of a server that nobody sees. */
export const SILENT_LOG: EngineLog = {
  api: () => undefined,
  engine: () => undefined,
  lmcache: () => undefined,
  server: () => undefined,
  access: () => undefined,
};

export type LogLevel = 'INFO' | 'WARNING' | 'ERROR';

const two = (value: number): string => String(value).padStart(2, '0');

function timestamp(): string {
  const now = new Date();
  const date = `${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  return `${date} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}

/** Each takes whole lines, newline included. */
export interface LogOutputs {
  readonly write: (line: string) => void;
  readonly writeError: (line: string) => void;
}

/** vLLM's logger and uvicorn's access log write to stdout, LMCache's logger and uvicorn's other lines to stderr. */
export function createEngineLog({ write, writeError }: LogOutputs, pid: number): EngineLog {
  const emit = (process: string, level: LogLevel, place: string, text: string): void => {
    const head = `(${process} pid=${pid}) ${level} ${timestamp()} [${place}] `;
    for (const line of text.split('\n')) write(`${head}${line}\n`);
  };
  return {
    api: (level, place, text) => emit('APIServer', level, place, text),
    engine: (level, place, text) => emit('EngineCore', level, place, text),
    lmcache: (place, text) => writeError(`(EngineCore pid=${pid}) ${lmcacheLine('INFO', place, text)}`),
    server: (text) => writeError(`(APIServer pid=${pid}) INFO:     ${text}\n`),
    access: (text) => write(`(APIServer pid=${pid}) INFO:     ${text}\n`),
  };
}
