import { writeWhole } from '../../results-schema/whole-file.js';
import type { TraceRequest } from './trace.js';

const HEADER = '@timestamp,ConversationId,Turn,CustomerQueryLength,GenerativeModelResponseLength\n';
const ROWS_A_WRITE = 4096;

/**
 * Writes requests as conversational CSV: the columns of the original cache benchmark runner's data sets, and the turn.
 * All of the file or nothing.
 * @param startedAt epoch seconds of time 0
 * @returns the number of rows
 * @throws the signal's reason; the file system's errors
 */
export async function writeConversationCsv(
  path: string,
  requests: Iterable<TraceRequest>,
  startedAt: number,
  signal?: AbortSignal,
): Promise<number> {
  let rows = 0;
  await writeWhole(path, async (file) => {
    let text = HEADER;
    for (const request of requests) {
      text += csvRow(request, startedAt);
      rows += 1;
      if (rows % ROWS_A_WRITE === 0) {
        signal?.throwIfAborted();
        await file.appendFile(text);
        text = '';
      }
    }
    await file.appendFile(text);
  });
  return rows;
}

function csvRow(request: TraceRequest, startedAt: number): string {
  const time = new Date((startedAt + (request.timeSeconds ?? 0)) * 1000).toISOString();
  const { conversationId, turn, newTokens, outputTokens } = request;
  const name = /[",\n\r]/.test(conversationId) ? `"${conversationId.replaceAll('"', '""')}"` : conversationId;
  return `${time},${name},${turn + 1},${newTokens},${outputTokens}\n`;
}
