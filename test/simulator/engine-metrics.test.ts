import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const RECORDED = new URL('../fixtures/vllm-0.26/metrics-lmcache-end.txt.gz', import.meta.url);

interface Exposition {
  /** `name type`. */
  readonly types: ReadonlySet<string>;
  /** Name with its label names, and the values of those that are a fixed choice. */
  readonly series: ReadonlySet<string>;
}

function read(text: string): Exposition {
  const types = new Set<string>();
  const series = new Set<string>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE ((?:vllm:|http_)\S+) (\w+)$/.exec(line);
    if (type) types.add(`${type[1]} ${type[2]}`);
    const sample = /^((?:vllm:|http_)\w+)(?:\{(.*)\})? \S+$/.exec(line);
    if (sample) series.add(`${sample[1]}{${labels(sample[2] ?? '')}}`);
  }
  return { types, series };
}

function labels(text: string): string {
  const pairs = [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => {
    const fixed = ['reason', 'source', 'finished_reason', 'sleep_state', 'engine'].includes(name);
    if (name === 'le') return `le=${Number(value.replace('+Inf', 'Infinity'))}`;
    return fixed ? `${name}=${value}` : name;
  });
  return pairs.sort().join(',');
}

const value = (text: string, start: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(start))
      ?.split(' ')
      .at(-1),
  );

describe('/metrics of the simulated engine', () => {
  let server: ServedInProcess;
  let text = '';
  beforeAll(async () => {
    server = await serveInProcess(['--enable-prompt-tokens-details', '--no-async-scheduling']);
    for (let round = 0; round < 2; round += 1) {
      const response = await fetch(`${server.baseUrl}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: new Array(1000).fill('hi').join(' '), max_tokens: 11, temperature: 0 }),
      });
      await response.text();
    }
    // The answer's connection closes a moment after its body is read.
    await vi.waitFor(async () => {
      text = await (await fetch(`${server.baseUrl}/metrics`)).text();
      if (!text.includes('handler="/v1/completions",method="POST"} 2')) throw new Error(text);
    });
  });
  afterAll(() => server.stop());

  it('has every name, type, label and bucket of the real one', () => {
    const real = read(gunzipSync(readFileSync(RECORDED)).toString());
    const own = read(text);
    expect(real.series.size).toBeGreaterThan(300);
    const created = (name: string): boolean => /^http_\w+_created/.test(name);
    expect([...real.types].filter((type) => !own.types.has(type) && !created(type))).toEqual([]);
    expect([...real.series].filter((series) => !own.series.has(series) && !created(series))).toEqual([]);
  });

  it('counts tokens by where they came from', () => {
    const labels = '{engine="0",model_name="Qwen/Qwen3-14B"';
    expect(value(text, `vllm:prompt_tokens_total${labels}`)).toBe(2000);
    expect(value(text, `vllm:prompt_tokens_by_source_total${labels},source="local_cache_hit"`)).toBe(992);
    expect(value(text, `vllm:prompt_tokens_by_source_total${labels},source="local_compute"`)).toBe(1008);
    expect(value(text, `vllm:prompt_tokens_cached_total${labels}`)).toBe(992);
    expect(value(text, `vllm:prefix_cache_queries_total${labels}`)).toBe(2000);
    expect(value(text, `vllm:prefix_cache_hits_total${labels}`)).toBe(992);
    expect(value(text, `vllm:generation_tokens_total${labels}`)).toBe(22);
    expect(value(text, `vllm:request_success_total${labels},finished_reason="length"`)).toBe(2);
    expect(value(text, `vllm:inter_token_latency_seconds_count${labels}`)).toBe(20);
  });

  it('measures in simulated seconds, as the profile gives them', () => {
    const labels = '{engine="0",model_name="Qwen/Qwen3-14B"';
    const itl = value(text, `vllm:inter_token_latency_seconds_sum${labels}`) / 20;
    // Recorded: 10.4 ms a decode step at 2,000 tokens of context.
    expect(itl).toBeGreaterThan(0.0095);
    expect(itl).toBeLessThan(0.0115);
    const ttft = value(text, `vllm:time_to_first_token_seconds_sum${labels}`);
    // Recorded: 56 ms cold and 25 ms from the prefix cache, each with the client's part.
    expect(ttft).toBeGreaterThan(0.06);
    expect(ttft).toBeLessThan(0.1);
    expect(value(text, `vllm:e2e_request_latency_seconds_sum${labels}`)).toBeCloseTo(ttft + 20 * itl, 6);
  });
});
