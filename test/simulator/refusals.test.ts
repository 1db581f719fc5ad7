import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const caseSchema = z.object({
  path: z.string(),
  raw: z.string().optional(),
  request: z.record(z.string(), z.unknown()).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  status: z.number(),
  body: z.string().optional(),
});
const repeatSchema = z.object({ $repeat: z.union([z.string(), z.array(z.number())]), times: z.number() });
const compressed = readFileSync(new URL('../fixtures/vllm-0.26/refusals.json.gz', import.meta.url));
const { cases } = z.object({ cases: z.array(caseSchema) }).parse(JSON.parse(gunzipSync(compressed).toString()));

/** Long texts and lists are kept as what they repeat. */
function spelledOut(value: unknown): unknown {
  const repeated = repeatSchema.safeParse(value).data;
  if (repeated !== undefined) {
    const { $repeat: part, times } = repeated;
    return typeof part === 'string' ? part.repeat(times) : Array.from({ length: times }, () => part).flat();
  }
  if (Array.isArray(value)) return value.map(spelledOut);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, spelledOut(item)]));
}

let server: ServedInProcess;
beforeAll(async () => {
  server = await serveInProcess();
});
afterAll(() => server.stop());

describe('what vLLM 0.26 refuses', () => {
  it('is refused with the same status, and almost all of it byte by byte', async () => {
    const answers = await Promise.all(
      cases.map(async ({ path, raw, request, headers, status, body }) => {
        const response = await fetch(server.baseUrl + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: raw ?? JSON.stringify(spelledOut(request)),
        });
        const text = await response.text();
        const isSame = response.status === status && (body === undefined || text === body);
        return isSame ? [] : [{ path, request: raw ?? request, headers, status, body, got: [response.status, text] }];
      }),
    );
    const wrong = answers.flat();
    expect(wrong).toEqual([]);
    expect(cases.filter(({ body }) => body !== undefined).length).toBeGreaterThan(280);
  });
});
