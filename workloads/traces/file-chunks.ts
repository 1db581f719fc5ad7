import { type FileHandle, open } from 'node:fs/promises';
import { TraceFileError } from './trace.js';

const CHUNK_BYTES = 1024 * 1024;

export interface FileChunk {
  /** Not used again by the reader: views into it stay valid. */
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** A file's bytes in pieces of 1 MiB. @throws TraceFileError when it cannot be opened or read */
export async function* fileChunks(path: string): AsyncGenerator<FileChunk> {
  const file = await openFile(path);
  try {
    let pending: Buffer | null = null;
    for (;;) {
      const bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      const { bytesRead } = await file.read(bytes, 0, CHUNK_BYTES, null).catch((error) => {
        throw new TraceFileError(path, `cannot be read: ${messageOf(error)}`);
      });
      if (bytesRead === 0) {
        yield { bytes: pending ?? Buffer.alloc(0), isLast: true };
        return;
      }
      if (pending !== null) {
        yield { bytes: pending, isLast: false };
      }
      pending = bytes.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** The first bytes of a file, at most `count`. @throws TraceFileError */
export async function fileStart(path: string, count: number): Promise<Buffer> {
  const file = await openFile(path);
  try {
    const bytes = Buffer.alloc(count);
    const { bytesRead } = await file.read(bytes, 0, count, 0).catch((error) => {
      throw new TraceFileError(path, `cannot be read: ${messageOf(error)}`);
    });
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** @throws TraceFileError when it cannot be opened */
export async function openFile(path: string): Promise<FileHandle> {
  return open(path, 'r').catch((error) => {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new TraceFileError(path, isMissing ? 'does not exist' : `cannot be opened: ${messageOf(error)}`);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
