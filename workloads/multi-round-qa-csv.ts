import { stringify } from 'csv-stringify/sync';
import type { ConversationsResult } from './conversations.js';
import { generationSeconds } from './multi-round-qa.js';
import type { MultiRoundQaUser } from './multi-round-qa-plan.js';
import { pythonFloat } from './python-format.js';
import { type RequestRecord, ttftSeconds } from './request.js';

/** Its summary.csv: answered requests, user by user; times in seconds after the start. */
export function multiRoundQaCsv(
  records: readonly RequestRecord[],
  turns: ConversationsResult['turns'],
  users: readonly MultiRoundQaUser[],
): string {
  const rows = records.flatMap((record, index) => {
    const { conversation = 0, turn = 0 } = turns[index] ?? {};
    return record.outcome.state === 'ok' ? [{ record, conversation, turn }] : [];
  });
  rows.sort((a, b) => a.conversation - b.conversation || a.turn - b.turn);
  return stringify(
    rows.map(({ record, conversation, turn }) => ({
      prompt_tokens: record.promptTokens ?? 0,
      generation_tokens: record.completionTokens ?? 0,
      ttft: pythonFloat(ttftSeconds(record) ?? 0),
      generation_time: pythonFloat(generationSeconds(record)),
      user_id: users[conversation]?.userId ?? 0,
      question_id: turn + 1,
      launch_time: pythonFloat(record.sentAt ?? 0),
      finish_time: pythonFloat(record.endedAt),
    })),
    { header: true },
  );
}
