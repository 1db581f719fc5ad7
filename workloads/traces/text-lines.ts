import { fileChunks } from './file-chunks.js';

const LINE_FEED = 10;

/** One line: its bytes without the line feed, and its number from 1. */
export interface TextLine {
  readonly bytes: Buffer;
  readonly number: number;
}

/** A text file's lines, a batch at a time; blank ones left out. @throws TraceFileError when it cannot be read */
export async function* textLines(path: string): AsyncGenerator<readonly TextLine[]> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const { bytes, isLast } of fileChunks(path)) {
    const text = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const lines: TextLine[] = [];
    let start = 0;
    while (start < text.length) {
      let end = text.indexOf(LINE_FEED, start);
      if (end === -1) {
        if (!isLast) {
          break;
        }
        end = text.length;
      }
      number += 1;
      if (!isBlank(text, start, end)) {
        lines.push({ bytes: text.subarray(start, end), number });
      }
      start = end + 1;
    }
    rest = text.subarray(Math.min(start, text.length));
    if (lines.length > 0) {
      yield lines;
    }
  }
}

function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let position = start; position < end; position += 1) {
    if ((bytes[position] ?? 0) > 32) {
      return false;
    }
  }
  return true;
}
