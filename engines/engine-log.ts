import { createWriteStream, type WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import stripAnsi from 'strip-ansi';
import { makeFolder } from '../results-schema/make-folder.js';
import { secrets } from '../results-schema/secrets.js';
import { EngineStartError } from './errors.js';
import type { LaunchSpec, LogFiles } from './launch-spec.js';

const longestHeldLine = 65_536;

/** Removes ANSI codes and hides secrets in a byte stream, however these and the UTF-8 characters are cut into chunks. */
export class AnsiStripper extends Transform {
  readonly #decoder = new StringDecoder('utf8');
  #held = '';

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#held += this.#decoder.write(chunk);
    const { length, isCut } = safeLength(this.#held);
    this.#passOn(length, isCut ? secrets.longest : 0);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#held += this.#decoder.end();
    this.#passOn(this.#held.length, 0);
    done();
  }

  /** @param heldBack of a line that is cut, the characters that may be the beginning of a secret */
  #passOn(length: number, heldBack: number): void {
    if (length === 0) return;
    const text = secrets.hide(stripAnsi(this.#held.slice(0, length)));
    const shown = Math.max(0, text.length - heldBack);
    this.push(text.slice(0, shown));
    this.#held = text.slice(shown) + this.#held.slice(length);
  }
}

/** Codes end within their line: whole lines are safe, and of an endless line all before its last escape. */
function safeLength(text: string): { readonly length: number; readonly isCut: boolean } {
  const wholeLines = Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1;
  if (text.length - wholeLines <= longestHeldLine) return { length: wholeLines, isCut: false };
  const lastEscape = Math.max(text.lastIndexOf('\u001B'), text.lastIndexOf('\u009B'));
  return { length: lastEscape > wholeLines ? lastEscape : text.length, isCut: true };
}

/** One engine's log file, written from its first byte. */
export interface EngineLog {
  /** Follows an output stream. A disk that is full loses log lines, never the engine. */
  follow(stream: Readable): void;
  /** Writes what is held, closes the file. Never rejects. */
  close(): Promise<void>;
}

/**
 * Opens a log for appending.
 * @throws when its directory cannot be written.
 */
export async function openEngineLog(logPath: string): Promise<EngineLog> {
  makeFolder(path.dirname(logPath));
  const file: WriteStream = createWriteStream(logPath, { flags: 'a' });
  await new Promise<void>((resolve, reject) => {
    file.once('open', () => resolve());
    file.once('error', reject);
  });
  const followed: { readonly stream: Readable; readonly stripper: AnsiStripper }[] = [];
  const letGo = () => {
    for (const { stream, stripper } of followed) {
      stream.unpipe(stripper);
      // Somebody may still write: an engine must never stand still because nobody reads.
      stream.resume();
    }
  };
  file.on('error', letGo);
  return {
    follow(stream) {
      const stripper = new AnsiStripper();
      followed.push({ stream, stripper });
      stream.on('error', letGo);
      stream.pipe(stripper).pipe(file, { end: false });
    },
    async close() {
      letGo();
      for (const { stripper } of followed) stripper.end();
      await Promise.allSettled(followed.map(({ stripper }) => (file.errored ? null : finished(stripper))));
      file.end();
      await finished(file).catch(() => undefined);
    },
  };
}

/** Both outputs of an engine, in one file or in a file each. */
export interface OutputLog {
  follow(stdout: Readable, stderr: Readable): void;
  /** Never rejects. */
  close(): Promise<void>;
}

/**
 * Both outputs go into `logPath` where the spec names no files of their own.
 * @throws EngineStartError when one cannot be written.
 */
export async function openOutputLog(
  { name, logFiles }: Pick<LaunchSpec, 'name' | 'logFiles'>,
  logPath: string,
): Promise<OutputLog> {
  return openLogs(logPath, logFiles).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new EngineStartError(
      `The log file "${logPath}" of ${name} cannot be written: ${why}. Choose another RESULTS_DIR or free space.`,
      { failureCause: 'disk', cause: error },
    );
  });
}

async function openLogs(logPath: string, separate: LogFiles | undefined): Promise<OutputLog> {
  const stderrLog = await openEngineLog(separate?.stderr ?? logPath);
  const shared = separate === undefined || separate.stdout === separate.stderr;
  const stdoutLog = shared ? stderrLog : await openEngineLog(separate.stdout);
  return {
    follow(stdout, stderr) {
      stdoutLog.follow(stdout);
      stderrLog.follow(stderr);
    },
    async close() {
      await Promise.all([...new Set([stdoutLog, stderrLog])].map((log) => log.close()));
    },
  };
}

const tailBytes = 65_536;

/** Last lines of a file, newest last; none when it cannot be read. Reads at most the last 64 KiB. */
export async function readLogTail(logPath: string, lines: number): Promise<readonly string[]> {
  try {
    const file = await open(logPath, 'r');
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - tailBytes);
      const buffer = Buffer.alloc(size - start);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
      const text = buffer.toString('utf8', 0, bytesRead).replace(/\r?\n$/, '');
      const found = text === '' ? [] : text.split(/\r?\n|\r/);
      return (start > 0 ? found.slice(1) : found).slice(-lines);
    } finally {
      await file.close();
    }
  } catch {
    return [];
  }
}
