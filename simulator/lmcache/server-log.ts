import { LogLevels } from './log-levels.js';

/** Writes LMCache's log lines: `[2026-11-22 01:10:23,871] LMCache INFO: text (file.py:1:module)`, without its colours. */
export interface ServerLog {
  info(place: string, text: string): void;
  warning(place: string, text: string): void;
  /** uvicorn's lines: `INFO:     text`. */
  uvicorn(level: 'INFO' | 'ERROR', text: string): void;
}

/** @param write takes whole lines, newline included. @param levels decides which. */
export function createServerLog(write: (line: string) => void, levels = new LogLevels()): ServerLog {
  const emit = (level: 'INFO' | 'WARNING', place: string, text: string): void => {
    if (levels.lets(place, level)) write(lmcacheLine(level, place, text));
  };
  return {
    info: (place, text) => emit('INFO', place, text),
    warning: (place, text) => emit('WARNING', place, text),
    uvicorn: (level, text) => write(`${`${level}:`.padEnd(10)}${text}\n`),
  };
}

/** A line as LMCache's own logger writes it. @param place `file.py:12:the.module` */
export function lmcacheLine(level: 'INFO' | 'WARNING', place: string, text: string): string {
  return `[${timestamp()}] LMCache ${level}: ${text} (${place})\n`;
}

function timestamp(): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  return `${date} ${time},${String(now.getMilliseconds()).padStart(3, '0')}`;
}
