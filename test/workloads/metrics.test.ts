import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { difference, parseMetrics, scrapeMetrics } from '../../workloads/metrics.js';
import { ServerAnswerError, ServerUnreachableError } from '../../workloads/server-api.js';
import { RawHttpServer } from '../fixtures/raw-http-server.js';

const recorded = (name: string): Promise<string> =>
  readFile(new URL(`../fixtures/workloads/metrics/${name}.txt`, import.meta.url), 'utf8');

let server: RawHttpServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

test('the recorded metrics of vLLM and of the LMCache server', async () => {
  const vllm = parseMetrics(await recorded('vllm'));
  expect(vllm.sum('vllm:external_prefix_cache_hits_total')).toBe(779520);
  expect(vllm.sum('vllm:prompt_tokens_total', { model_name: 'Qwen/Qwen3-14B' })).toBe(2277592);
  expect(vllm.sum('vllm:prompt_tokens_by_source_total')).toBe(2277592);
  expect(vllm.sum('vllm:prompt_tokens_by_source_total', { source: 'external_kv_transfer' })).toBe(779520);
  expect(vllm.has('vllm:prompt_tokens')).toBe(false);
  const lmcache = parseMetrics(await recorded('lmcache-server'));
  expect(lmcache.sum('lmcache_mp_lookup_hit_tokens_total')).toBe(1115136);
});

test('whatever a label or a value holds comes back', () => {
  const name = fc.stringMatching(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,20}$/);
  const labels = fc.dictionary(
    fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    {
      maxKeys: 4,
      noNullPrototype: true,
    },
  );
  const value = fc.oneof(fc.double(), fc.integer());
  const spell = (number: number): string =>
    Number.isFinite(number) ? String(number) : Number.isNaN(number) ? 'NaN' : number > 0 ? '+Inf' : '-Inf';
  const escaped = (text: string): string => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, labels, value, fc.boolean())), fc.constantFrom('\n', '\r\n'), (series, end) => {
      const lines = series.flatMap(([metric, own, number, stamped]) => {
        const inside = Object.entries(own).map(([label, text]) => `${label}="${escaped(text)}"`);
        const braces = inside.length > 0 ? `{${inside.join(',')}}` : '';
        return [
          `# HELP ${metric} x`,
          `# TYPE ${metric} gauge`,
          `${metric}${braces} ${spell(number)}${stamped ? ' 1795309116000' : ''}`,
        ];
      });
      const labelText = series.some(([, own]) =>
        Object.values(own).some((text) => /[\r\u0085\u2028\u2029]/.test(text)),
      );
      fc.pre(!labelText);
      expect(parseMetrics(lines.join(end)).samples).toEqual(
        series.map(([metric, own, number]) => ({
          name: metric,
          labels: own,
          value: Object.is(number, -0) ? expect.closeTo(0) : number,
        })),
      );
    }),
  );
});

test('lines that are no sample hide nothing else', () => {
  const snapshot = parseMetrics(
    [
      'a 1',
      'b{x="1",} 2',
      'c{x=1} 3',
      'd',
      'e one',
      '{} 5',
      'f{x="}"} 6',
      'g{x=" # {"} 7',
      'h_bucket{le="+Inf"} 8 # {id="x"} 1 1.5',
      '<html>',
    ].join('\n'),
  );
  expect(snapshot.samples.map((sample) => [sample.name, sample.value])).toEqual([
    ['a', 1],
    ['b', 2],
    ['f', 6],
    ['g', 7],
    ['h_bucket', 8],
  ]);
  expect(snapshot.sum('h_bucket', { le: '+Inf' })).toBe(8);
});

test('what is not there is 0 and says so; NaN is not hidden', () => {
  const snapshot = parseMetrics('a{x="1"} NaN\na{x="2"} 3');
  expect([snapshot.has('b'), snapshot.sum('b'), snapshot.sum('a'), snapshot.sum('a', { x: '2' })]).toEqual([
    false,
    0,
    Number.NaN,
    3,
  ]);
});

test('a difference goes series by series; new ones count from 0, as do those that were reset', () => {
  const before = parseMetrics('a{x="1"} 10\na{x="2"} 5\ngone 3\nreset 100');
  const after = parseMetrics('a{x="2"} 7\na{x="1"} 10.5\na{x="3"} 2\nreset 4');
  const change = difference(before, after);
  expect([change.sum('a'), change.sum('a', { x: '1' }), change.has('gone'), change.sum('reset')]).toEqual([
    4.5,
    0.5,
    false,
    4,
  ]);
});

test('a page is fetched by its own address or by that of the server', async () => {
  server = await RawHttpServer.start((exchange) =>
    exchange.request.path === '/metrics' ? exchange.answer(200, 'a 1\n') : exchange.answer(404, 'Not Found'),
  );
  const { signal } = new AbortController();
  for (const url of [server.baseUrl, `${server.baseUrl}/`, `${server.baseUrl}/metrics`]) {
    expect((await scrapeMetrics(url, signal)).sum('a')).toBe(1);
  }
  await expect(scrapeMetrics(`${server.baseUrl}/x`, signal)).rejects.toThrow(ServerAnswerError);
  await expect.poll(() => server?.openConnections).toBe(0);
  const { baseUrl } = server;
  await server.close();
  await expect(scrapeMetrics(baseUrl, signal)).rejects.toThrow(ServerUnreachableError);
  await expect(scrapeMetrics(baseUrl, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
