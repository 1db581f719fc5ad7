import { z } from 'zod';
import { textLines } from '../traces/text-lines.js';

/**
 * The rows of a JSONL file, blank lines left out.
 * @throws RangeError naming the line that is not what it should be
 */
export async function readJsonLines<Row>(path: string, schema: z.ZodType<Row>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const lines of textLines(path)) {
    for (const { bytes, number } of lines) {
      let json: unknown;
      try {
        json = JSON.parse(bytes.toString('utf8'));
      } catch (error) {
        throw new RangeError(`"${path}", line ${number}, is no JSON: ${String(error)}`);
      }
      const result = schema.safeParse(json);
      if (!result.success) {
        throw new RangeError(`"${path}", line ${number}: ${z.prettifyError(result.error)}`);
      }
      rows.push(result.data);
    }
  }
  return rows;
}
