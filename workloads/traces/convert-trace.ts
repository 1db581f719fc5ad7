import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { ColumnarReader } from './columnar-reader.js';
import { ColumnarWriter } from './columnar-writer.js';
import { MadeTimes } from './generate-conversations.js';
import { KeyTable } from './key-table.js';
import { sortedOrder, writeInOrder } from './sort-columnar.js';
import { type Trace, TraceFileError, type TraceRequest } from './trace.js';

export interface ConvertedTrace {
  readonly requests: number;
  readonly conversations: number;
  /** The file's requests were not in order of time: they were sorted, at 40 bytes of memory each. */
  readonly sorted: boolean;
  readonly notes: ReadonlyMap<string, number>;
}

export interface ConvertOptions {
  readonly signal?: AbortSignal;
  /** For times that have to be made; default 0. */
  readonly seed?: number;
  onProgress?(requests: number): void;
}

/**
 * Writes a trace in columnar form: in one pass and constant memory where the file is in order of time, but for what
 * each conversation (40 bytes) and each distinct block (40 bytes) needs. All of the file or nothing.
 * @throws TraceFileError where the trace is broken or holds nothing; the signal's reason
 */
export async function convertTrace(trace: Trace, path: string, options: ConvertOptions = {}): Promise<ConvertedTrace> {
  const writer = await ColumnarWriter.create(path, trace.blockTokens);
  try {
    const rows = new RowMaker(trace, options.seed ?? 0);
    for await (const batch of trace.batches()) {
      options.signal?.throwIfAborted();
      for (const request of batch) {
        if (writer.add(rows.make(request))) {
          await writer.flush();
        }
      }
      options.onProgress?.(rows.requests);
    }
    if (rows.requests === 0) {
      throw new TraceFileError(trace.path, 'holds no request');
    }
    const { requests, conversations, goesBack } = rows;
    const startedAt = trace.startedAt;
    const distinctBlocks = rows.distinctBlocks;
    const facts = { conversations, startedAt, distinctBlocks, timesMade: !trace.hasTimes };
    if (goesBack) {
      const unsorted = `${path}.${randomBytes(4).toString('hex')}.unsorted`;
      try {
        await writer.finish(facts, unsorted);
        await sortFile(unsorted, path, trace);
      } finally {
        await rm(unsorted, { force: true });
      }
    } else {
      await writer.finish(facts);
    }
    return { requests, conversations, sorted: goesBack, notes: trace.notes };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

/** Whether a prompt's length is counted from what the file says about the turns before, rather than recorded. */
function accumulates(trace: Trace): boolean {
  return trace.format !== 'mooncake' && trace.format !== 'server-log';
}

async function sortFile(unsorted: string, path: string, trace: Trace): Promise<void> {
  const reader = await ColumnarReader.open(unsorted);
  const writer = await ColumnarWriter.create(path, trace.blockTokens).catch(async (error) => {
    await reader.close();
    throw error;
  });
  try {
    const { header } = reader;
    const first = await writeInOrder(reader, writer, await sortedOrder(reader), accumulates(trace));
    await writer.finish({ ...header, startedAt: header.startedAt === null ? null : header.startedAt + first });
  } catch (error) {
    await writer.discard();
    throw error;
  } finally {
    await reader.close();
  }
}

class RowMaker {
  requests = 0;
  conversations = 0;
  goesBack = false;
  readonly #times: MadeTimes | null;
  readonly #blocks = new KeyTable();
  #latest = Number.NEGATIVE_INFINITY;

  constructor(trace: Trace, seed: number) {
    this.#times = trace.hasTimes ? null : new MadeTimes(seed);
  }

  get distinctBlocks(): number {
    return this.#blocks.size;
  }

  make(request: TraceRequest): Parameters<ColumnarWriter['add']>[0] {
    const timeSeconds = this.#times?.next(request.turn) ?? request.timeSeconds ?? 0;
    this.requests += 1;
    this.conversations = Math.max(this.conversations, request.conversation + 1);
    this.goesBack ||= timeSeconds < this.#latest;
    this.#latest = Math.max(this.#latest, timeSeconds);
    const { conversation, turn, newTokens, promptTokens, outputTokens, hashIds } = request;
    const row = { timeSeconds, conversation, turn, newTokens, promptTokens, outputTokens };
    return hashIds === undefined ? row : { ...row, blockIds: this.#blockIds(hashIds) };
  }

  /** A block is what it holds and everything before it: ids are numbered below the block before them. */
  #blockIds(hashIds: readonly (number | string)[]): Uint32Array {
    const ids = new Uint32Array(hashIds.length);
    let parent = -1;
    for (const [position, hashId] of hashIds.entries()) {
      parent = this.#blocks.internChild(parent, hashId);
      ids[position] = parent;
    }
    return ids;
  }
}
