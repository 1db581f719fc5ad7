import { crc32 } from 'node:zlib';
import { TraceFileError } from './trace.js';

/*
 * The columnar form of a trace: little-endian, everything aligned to 8 bytes.
 *
 *   header, 128 bytes
 *       0  8 bytes  "LCTRACE\0"
 *       8  u32      version: 1
 *      12  u32      flags: 1 = prompts are known by blocks, 2 = the times were made, the trace had none
 *      16  f64      requests
 *      24  f64      conversations
 *      32  f64      epoch seconds of the first request; NaN: unknown
 *      40  u32      requests a group, but for the last one
 *      44  u32      tokens a block; 0: no blocks
 *      48  f64      distinct blocks
 *      56  f64      where the index of groups starts
 *      64           zeros
 *     124  u32      CRC-32 of the 124 bytes before
 *   groups, each
 *       u32 requests, u32 block ids, then for each request in order of time
 *       f64 seconds after the first, u32 conversation, u32 turn, u32 tokens of the question,
 *       u32 tokens of the prompt, u32 tokens of the answer, and with blocks u32 their number (each a column, padded to
 *       8 bytes), and all their ids as u32
 *   index, for each group
 *       f64 where it starts, f64 its length in bytes, u32 its CRC-32, u32 its requests
 */

export const HEADER_BYTES = 128;
export const ROWS_A_GROUP = 65_536;
export const INDEX_ENTRY_BYTES = 24;
export const GROUP_HEAD_BYTES = 8;
const MAGIC = 'LCTRACE\0';
const VERSION = 1;
const HAS_BLOCKS = 1;
const TIMES_MADE = 2;

/** What a columnar file says about itself. */
export interface ColumnarHeader {
  readonly requests: number;
  readonly conversations: number;
  /** Epoch seconds of the first request; null: unknown. */
  readonly startedAt: number | null;
  readonly rowsPerGroup: number;
  /** null: prompts are not known by blocks. */
  readonly blockTokens: number | null;
  readonly distinctBlocks: number;
  /** The trace had no times: these were made. */
  readonly timesMade: boolean;
  readonly indexOffset: number;
}

export function encodeHeader(header: ColumnarHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE((header.blockTokens === null ? 0 : HAS_BLOCKS) | (header.timesMade ? TIMES_MADE : 0), 12);
  bytes.writeDoubleLE(header.requests, 16);
  bytes.writeDoubleLE(header.conversations, 24);
  bytes.writeDoubleLE(header.startedAt ?? Number.NaN, 32);
  bytes.writeUInt32LE(header.rowsPerGroup, 40);
  bytes.writeUInt32LE(header.blockTokens ?? 0, 44);
  bytes.writeDoubleLE(header.distinctBlocks, 48);
  bytes.writeDoubleLE(header.indexOffset, 56);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 124)), 124);
  return bytes;
}

export function isColumnar(start: Buffer): boolean {
  return start.subarray(0, MAGIC.length).toString('latin1') === MAGIC;
}

/** @throws TraceFileError where the bytes are no header of this version, or damaged */
export function decodeHeader(path: string, bytes: Buffer): ColumnarHeader {
  if (!isColumnar(bytes)) {
    throw new TraceFileError(path, 'is no columnar trace: make one with lmcache-ci traces convert');
  }
  if (bytes.length < HEADER_BYTES) {
    throw new TraceFileError(path, `ends within its header, after ${bytes.length} bytes`);
  }
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) {
    throw new TraceFileError(path, `is of version "${version}", known is ${VERSION}: convert the trace again`);
  }
  if (crc32(bytes.subarray(0, 124)) !== bytes.readUInt32LE(124)) {
    throw new TraceFileError(path, 'has a damaged header (its checksum differs): convert the trace again');
  }
  const flags = bytes.readUInt32LE(12);
  const startedAt = bytes.readDoubleLE(32);
  return {
    requests: bytes.readDoubleLE(16),
    conversations: bytes.readDoubleLE(24),
    startedAt: Number.isNaN(startedAt) ? null : startedAt,
    rowsPerGroup: bytes.readUInt32LE(40),
    blockTokens: (flags & HAS_BLOCKS) === 0 ? null : bytes.readUInt32LE(44),
    distinctBlocks: bytes.readDoubleLE(48),
    timesMade: (flags & TIMES_MADE) !== 0,
    indexOffset: bytes.readDoubleLE(56),
  };
}

/** Where each column of a group starts, from the group's start, and where the group ends. */
export interface GroupLayout {
  readonly times: number;
  readonly conversations: number;
  readonly turns: number;
  readonly newTokens: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly blockCounts: number;
  readonly blockIds: number;
  readonly bytes: number;
}

export function groupLayout(rows: number, blockIds: number, hasBlocks: boolean): GroupLayout {
  const padded = (count: number): number => Math.ceil((count * 4) / 8) * 8;
  const column = padded(rows);
  const times = GROUP_HEAD_BYTES;
  const conversations = times + rows * 8;
  const blockCounts = conversations + 5 * column;
  const ids = blockCounts + (hasBlocks ? column : 0);
  return {
    times,
    conversations,
    turns: conversations + column,
    newTokens: conversations + 2 * column,
    promptTokens: conversations + 3 * column,
    outputTokens: conversations + 4 * column,
    blockCounts,
    blockIds: ids,
    bytes: ids + (hasBlocks ? padded(blockIds) : 0),
  };
}

/** Some consecutive requests, by column. */
export interface RequestGroup {
  readonly rows: number;
  /** Number of the first of them in the trace. */
  readonly firstRow: number;
  readonly times: Float64Array;
  readonly conversations: Uint32Array;
  readonly turns: Uint32Array;
  readonly newTokens: Uint32Array;
  readonly promptTokens: Uint32Array;
  readonly outputTokens: Uint32Array;
  /** How many of `blockIds` each request has; empty without blocks. */
  readonly blockCounts: Uint32Array;
  readonly blockIds: Uint32Array;
}

/** The columns of a group in `bytes`, which must be aligned to 8. */
export function groupViews(
  bytes: Buffer,
  firstRow: number,
  rows: number,
  ids: number,
  hasBlocks: boolean,
): RequestGroup {
  const layout = groupLayout(rows, ids, hasBlocks);
  const words = (offset: number, count: number): Uint32Array =>
    new Uint32Array(bytes.buffer, bytes.byteOffset + offset, count);
  return {
    rows,
    firstRow,
    times: new Float64Array(bytes.buffer, bytes.byteOffset + layout.times, rows),
    conversations: words(layout.conversations, rows),
    turns: words(layout.turns, rows),
    newTokens: words(layout.newTokens, rows),
    promptTokens: words(layout.promptTokens, rows),
    outputTokens: words(layout.outputTokens, rows),
    blockCounts: words(layout.blockCounts, hasBlocks ? rows : 0),
    blockIds: words(layout.blockIds, hasBlocks ? ids : 0),
  };
}
