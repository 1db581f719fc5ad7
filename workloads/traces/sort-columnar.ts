import type { ColumnarReader } from './columnar-reader.js';
import type { ColumnarWriter } from './columnar-writer.js';

/** Numbers of the requests in order of time; equal times keep the file's order. */
export async function sortedOrder(reader: ColumnarReader): Promise<Uint32Array> {
  const { requests } = reader.header;
  const times = new Float64Array(requests);
  for (let group = 0; group < reader.groupCount; group += 1) {
    const columns = await reader.readGroup(group);
    times.set(columns.times, columns.firstRow);
  }
  const order = Uint32Array.from({ length: requests }, (_, row) => row);
  return order.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0) || a - b);
}

/**
 * Writes the requests again in this order, the whole trace in memory.
 * @param accumulate whether turns and prompt lengths follow from the order
 * @returns the time of the first one, from which the others are counted now
 */
export async function writeInOrder(
  reader: ColumnarReader,
  writer: ColumnarWriter,
  order: Uint32Array,
  accumulate: boolean,
): Promise<number> {
  const all = await readAll(reader);
  const turns = new Uint32Array(accumulate ? reader.header.conversations : 0);
  const history = new Float64Array(accumulate ? reader.header.conversations : 0);
  const first = all.times[order[0] ?? 0] ?? 0;
  for (const row of order) {
    const conversation = all.conversations[row] ?? 0;
    const newTokens = all.newTokens[row] ?? 0;
    const outputTokens = all.outputTokens[row] ?? 0;
    const turn = accumulate ? (turns[conversation] ?? 0) : (all.turns[row] ?? 0);
    const promptTokens = accumulate ? (history[conversation] ?? 0) + newTokens : (all.promptTokens[row] ?? 0);
    if (accumulate) {
      turns[conversation] = turn + 1;
      history[conversation] = promptTokens + outputTokens;
    }
    const timeSeconds = (all.times[row] ?? 0) - first;
    const columns = { timeSeconds, conversation, turn, newTokens, promptTokens, outputTokens };
    const blockIds = all.blockIds.subarray(all.blockStarts[row] ?? 0, all.blockStarts[row + 1] ?? 0);
    if (writer.add(all.blockStarts.length === 0 ? columns : { ...columns, blockIds })) {
      await writer.flush();
    }
  }
  return first;
}

async function readAll(reader: ColumnarReader): Promise<{
  readonly times: Float64Array;
  readonly conversations: Uint32Array;
  readonly turns: Uint32Array;
  readonly newTokens: Uint32Array;
  readonly promptTokens: Uint32Array;
  readonly outputTokens: Uint32Array;
  /** Where each request's ids start, and behind the last one where they end; empty without blocks. */
  readonly blockStarts: Float64Array;
  readonly blockIds: Uint32Array;
}> {
  const { requests, blockTokens } = reader.header;
  const column = (): Uint32Array<ArrayBuffer> => new Uint32Array(requests);
  const all = {
    times: new Float64Array(requests),
    conversations: column(),
    turns: column(),
    newTokens: column(),
    promptTokens: column(),
    outputTokens: column(),
    blockStarts: new Float64Array(blockTokens === null ? 0 : requests + 1),
  };
  const idsOfGroups: Uint32Array[] = [];
  let ids = 0;
  for (let group = 0; group < reader.groupCount; group += 1) {
    const columns = await reader.readGroup(group);
    all.times.set(columns.times, columns.firstRow);
    for (const name of ['conversations', 'turns', 'newTokens', 'promptTokens', 'outputTokens'] as const) {
      all[name].set(columns[name], columns.firstRow);
    }
    for (const [row, count] of columns.blockCounts.entries()) {
      all.blockStarts[columns.firstRow + row] = ids;
      ids += count;
    }
    idsOfGroups.push(columns.blockIds.slice());
  }
  if (blockTokens !== null) {
    all.blockStarts[requests] = ids;
  }
  const blockIds = new Uint32Array(ids);
  let at = 0;
  for (const part of idsOfGroups) {
    blockIds.set(part, at);
    at += part.length;
  }
  return { ...all, blockIds };
}
