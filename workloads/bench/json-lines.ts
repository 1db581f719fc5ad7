import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/**
 * The rows of a JSONL file, blank lines left out.
 * @throws RangeError naming the line that is not what it should be
 */
export async function readJsonLines<Row>(path: string, schema: z.ZodType<Row>): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [index, line] of (await readFile(path, 'utf8')).split('\n').entries()) {
    if (line.trim() === '') {
      continue;
    }
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch (error) {
      throw new RangeError(`"${path}", line ${index + 1}, is no JSON: ${String(error)}`);
    }
    const result = schema.safeParse(json);
    if (!result.success) {
      throw new RangeError(`"${path}", line ${index + 1}: ${z.prettifyError(result.error)}`);
    }
    rows.push(result.data);
  }
  return rows;
}
