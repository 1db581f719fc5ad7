import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { serveInProcess } from './serve-in-process.js';

const REAL_RUNS = new URL('../../docs/real-runs/', import.meta.url);
const LOOKUP = /Reqid: /;

/** What the engine writes when the same prompt of 600 tokens comes twice, its own cache being emptied between. */
async function logOf(connector: string): Promise<string> {
  const config = JSON.stringify({ kv_connector: connector, kv_role: 'kv_both' });
  const server = await serveInProcess(['--kv-transfer-config', config], { VLLM_SERVER_DEV_MODE: '1' });
  for (const id of ['first', 'second']) {
    await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
      body: JSON.stringify({ prompt: new Array(600).fill(283), max_tokens: 1 }),
    });
    await fetch(`${server.baseUrl}/reset_prefix_cache`, { method: 'POST' });
  }
  await server.stop();
  return server.output();
}

describe('the line about the lookup of a request', () => {
  it("is written for an engine's own LMCache, in LMCache's form", async () => {
    const lines = (await logOf('LMCacheConnectorV1')).split('\n').filter((line) => LOOKUP.test(line));
    expect(lines.map((line) => line.replace(/^.* LMCache INFO: /, '').replace(/ \(vllm.*$/, ''))).toEqual([
      'Reqid: cmpl-first-0, Total tokens 600, Inference Engine computed tokens: 0, LMCache hit tokens: 0, need to load: 0',
      'Reqid: cmpl-second-0, Total tokens 600, Inference Engine computed tokens: 0, LMCache hit tokens: 512, need to load: 512',
    ]);
    expect(lines[0]).toMatch(/^\(EngineCore pid=\d+\) \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] LMCache INFO: /);
  });

  it('is not written by the multiprocess connector, as the logs of all real runs show', async () => {
    expect(await logOf('LMCacheMPConnector')).not.toMatch(LOOKUP);
    const logs = readdirSync(REAL_RUNS, { recursive: true, encoding: 'utf8' }).filter((file) =>
      /vllm-mp-.*\.log\.gz$/.test(file),
    );
    expect(logs.length).toBeGreaterThanOrEqual(5);
    for (const file of logs) {
      const text = gunzipSync(readFileSync(new URL(file, REAL_RUNS))).toString();
      expect(text).toContain('LMCacheMPConnector');
      expect(text, file).not.toMatch(LOOKUP);
    }
  });
});
