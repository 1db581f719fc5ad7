import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import stripAnsi from 'strip-ansi';

/** A line without an end (a progress bar) is written in parts of this size rather than kept in memory. */
const longestLine = 1024 * 1024;

/** A log file that takes both output streams of one container, whole lines at a time, without ANSI codes. */
export interface ContainerLog {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Writes a line of our own. */
  note(line: string): void;
  /** Writes what is left of unfinished lines and closes the file. Never rejects: a full disk ends no engine. */
  close(): Promise<void>;
}

/** Appends to `logPath`, whose directory is made. @throws the file system's error when it cannot be written. */
export async function openContainerLog(logPath: string): Promise<ContainerLog> {
  await mkdir(path.dirname(logPath), { recursive: true });
  const file = createWriteStream(logPath, { flags: 'a' });
  await new Promise<void>((resolve, reject) => file.once('open', () => resolve()).once('error', reject));
  file.on('error', () => {});
  const write = (text: string): void => {
    if (file.writable) file.write(text);
  };
  const streams = [lineWriter(write), lineWriter(write)] as const;
  return {
    stdout: streams[0],
    stderr: streams[1],
    note: (line) => write(`${line}\n`),
    close: async () => {
      await Promise.all(streams.map((stream) => finished(stream.end()).catch(() => {})));
      await finished(file.end()).catch(() => {});
    },
  };
}

/** ANSI codes and multi-byte characters may be cut anywhere between two chunks, so only whole lines are written. */
function lineWriter(write: (text: string) => void): Writable {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      rest += decoder.write(chunk);
      const end = rest.length > longestLine ? rest.length : rest.lastIndexOf('\n') + 1;
      if (end > 0) write(stripAnsi(rest.slice(0, end)));
      rest = rest.slice(end);
      done();
    },
    final(done) {
      const last = stripAnsi(rest + decoder.end());
      if (last !== '') write(`${last}\n`);
      done();
    },
  });
}
