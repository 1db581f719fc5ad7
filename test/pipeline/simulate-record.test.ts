import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { simulateRecordCommand } from '../../pipeline/commands/simulate-record.js';
import { UsageError } from '../../pipeline/usage-error.js';
import { readRecording } from '../../simulator/calibration/read-recording.js';
import { type RawExchange, RawHttpServer } from '../fixtures/raw-http-server.js';
import { serveInProcess } from '../simulator/serve-in-process.js';

const WITH_LMCACHE = [
  '--enable-prompt-tokens-details',
  '--kv-transfer-config',
  '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}',
];
const DEVELOPMENT = { VLLM_SERVER_DEV_MODE: '1' };

vi.mock('../../pipeline/package-version.js', () => ({ packageVersion: () => '1.2.3' }));

let folder = '';
const servers: { stop(): Promise<unknown> }[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'record-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  rmSync(folder, { recursive: true });
});

async function serve(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
  const server = await serveInProcess(args, environment);
  servers.push(server);
  return server.baseUrl;
}

const EVENTS = { 'content-type': 'text/event-stream' };
/** Three tokens at once. */
const COMPLETION = `${['a', 'b', 'c'].map((text) => `data: ${JSON.stringify({ choices: [{ index: 0, text }] })}\n\n`).join('')}data: [DONE]\n\n`;

/** A server that tells neither vocabulary nor metrics, each word a token, and answers completions as the test says. */
async function serveRaw(complete: (exchange: RawExchange) => unknown): Promise<string> {
  const server = await RawHttpServer.start((exchange) => {
    const { path, body } = exchange.request;
    if (path === '/v1/completions') return complete(exchange);
    if (path === '/v1/models') return exchange.answer(200, JSON.stringify({ object: 'list', data: [{ id: 'm' }] }));
    if (path !== '/tokenize') return exchange.answer(404, '{}');
    const words: readonly string[] = JSON.parse(body).prompt.trim().split(/\s+/);
    return exchange.answer(200, JSON.stringify({ tokens: words.map(() => 7) }));
  });
  servers.push({ stop: () => server.close() });
  return server.baseUrl;
}

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function record(flags: Readonly<Record<string, unknown>>, onText?: (text: string) => void): Promise<Ended> {
  let [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    onText?.(String(text));
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
  try {
    const code = await simulateRecordCommand.run({ out: folder, ...flags });
    return { code, out, err };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { code: error.exitCode, out, err: error.message };
  } finally {
    vi.restoreAllMocks();
  }
}

const rowsOf = (name: string): readonly string[][] =>
  readFileSync(join(folder, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(','));
const description = () => JSON.parse(readFileSync(join(folder, 'recording.json'), 'utf8'));

describe('lmcache-ci simulate record', () => {
  it('records a server with LMCache and one without into one folder, as recordings are read', async () => {
    const small = { lengths: '300,600', repetitions: '2', batches: '1,3' };
    const decode = { 'decode-prompt-tokens': '200', 'decode-output-tokens': '8' };
    const arrivals = { arrivals: ['poisson:20:5', 'burst:3'], 'arrival-prompt-tokens': '50-90' };
    const longdoc = { documents: '3', 'document-length': '600', 'output-len': '4', 'repeat-count': '2' };
    const url = await serve([...WITH_LMCACHE, '--num-gpu-blocks-override', '4000'], DEVELOPMENT);
    const lmcache = await record({
      ...{ engine: 'lmcache', url, parts: 'longdoc,ids,single,arrivals' },
      ...{ ...small, ...arrivals, ...longdoc, 'arrival-output-tokens': '2-5', seed: '5' },
    });
    expect(lmcache).toMatchObject({ code: 0, err: '' });
    // Steps of 50 us would come several at a time, those of 2 ms where the machine stands still for a moment.
    await fetch(`${url}/sim/control`, { method: 'POST', body: '{"speed": 1}' });
    expect(await record({ engine: 'lmcache', url, parts: 'decode', ...small, ...decode })).toMatchObject({ code: 0 });
    expect(lmcache.out).toContain('SIMULATED (profile "h200", speed x200)');
    expect(lmcache.out).toContain("1,800 tokens of documents fit into the GPU's KV of");
    const baseline = await record({
      ...{
        engine: 'baseline',
        url: await serve(['--enable-prompt-tokens-details', '--num-gpu-blocks-override', '3000']),
      },
      ...{ parts: 'single', ...small },
    });
    expect(baseline).toMatchObject({ code: 0, err: '' });
    expect(baseline.out).not.toContain('fit into');

    const single = rowsOf('single-lmcache.csv');
    expect(single[0]?.join(',')).toBe(
      'engine,length,rep,mode,first_chunk,ttft,prompt_tokens,cached_tokens,error,reset_ok,server_ttft,queue,prefill',
    );
    const order = single.slice(1).map(([, length, rep, mode]) => `${rep} ${length} ${mode}`);
    const one = (rep: number, length: number) => ['cold', 'gpu', 'lmcache'].map((mode) => `${rep} ${length} ${mode}`);
    expect(order).toEqual([...one(0, 300), ...one(0, 600), ...one(1, 300), ...one(1, 600)]);
    for (const [, , , , firstChunk, ttft, , , , , serverTtft, queue, prefill] of single.slice(1)) {
      expect(Number(ttft)).toBeGreaterThanOrEqual(Number(firstChunk));
      expect(Number(ttft)).toBeGreaterThan(Number(serverTtft));
      expect(Number(serverTtft)).toBeGreaterThan(Number(queue) + Number(prefill));
      expect(Number(queue)).toBeGreaterThan(0);
    }
    const cases = (name: string) => readRecording(join(folder, name));
    const twice = (promptTokens: number, cachedIn: string, cachedTokens: number) => {
      const one = { promptTokens, cachedTokens };
      return { cachedIn, repetitions: [one, one] };
    };
    expect(cases('single-lmcache.csv')).toMatchObject(
      [300, 600].flatMap((promptTokens) => [
        { kind: 'ttft', engine: 'lmcache', ...twice(promptTokens, 'none', 0) },
        twice(promptTokens, 'gpu', Math.floor((promptTokens - 1) / 16) * 16),
        twice(promptTokens, 'lmcache', Math.floor(promptTokens / 256) * 256),
      ]),
    );
    expect(cases('ids-lmcache.csv')).toHaveLength(6);
    expect(cases('single-baseline.csv').map(({ engine }) => engine)).toEqual(new Array(4).fill('baseline'));
    expect(rowsOf('decode-lmcache.csv').map((row) => [row[0], row[1], row[2], row.length])).toEqual([
      ['batch', 'stream', 'prompt_tokens', 4],
      ['1', '0', '200', 11],
      ...['0', '1', '2'].map((stream) => ['3', stream, '200', 11]),
    ]);
    expect(cases('decode-lmcache.csv')).toMatchObject([{ batch: 1 }, { batch: 3 }]);
    const poisson = rowsOf('arrivals-lmcache-poisson-20.csv');
    expect(poisson[0]?.join(',')).toBe(
      'i,start,first_chunk,ttft,end,prompt_tokens,completion_tokens,cached_tokens,error',
    );
    const starts = poisson.slice(1).map(([, start]) => Number(start));
    expect(starts).toEqual(starts.toSorted((left, right) => left - right));
    expect(starts.at(-1)).toBeGreaterThan((starts[0] ?? 0) + 0.05);
    for (const [, , , , , prompt, completion] of poisson.slice(1)) {
      expect([Number(prompt) >= 50, Number(prompt) <= 90, Number(completion) >= 2, Number(completion) <= 5]).toEqual(
        new Array(4).fill(true),
      );
    }
    expect(rowsOf('arrivals-lmcache-burst.csv')).toHaveLength(4);
    expect(cases('longdoc-lmcache-warmup.csv')).toMatchObject([{ requests: { length: 3 } }]);
    expect(cases('longdoc-lmcache-query.csv')).toMatchObject([
      { workload: 'longdoc-query', requests: new Array(6).fill({ promptTokens: 601, outputTokens: 4 }) },
    ]);

    const described = description();
    expect(described).toMatchObject({ model: 'Qwen/Qwen3-14B', simulated: { profile: 'h200', speed: 200 } });
    expect(described.numGpuBlocks).toEqual({ lmcache: 4000, baseline: 3000 });
    expect(described.recordings).toMatchObject([
      { engine: 'lmcache', interrupted: false, options: { seed: 5 }, versions: { server: '0.26.0' } },
      { engine: 'lmcache', files: ['decode-lmcache.csv'], simulated: { speed: 1 } },
      { engine: 'baseline', files: ['single-baseline.csv'] },
    ]);
    expect(described.recordings[0].files).toEqual([
      ...['single-lmcache.csv', 'ids-lmcache.csv', 'arrivals-lmcache-poisson-20.csv'],
      ...['arrivals-lmcache-burst.csv', 'longdoc-lmcache-warmup.csv', 'longdoc-lmcache-query.csv'],
    ]);
  });

  it('leaves complete rows and their description when it is interrupted', async () => {
    const url = await serve(['--enable-prompt-tokens-details']);
    const recording = record({
      engine: 'baseline',
      url,
      parts: 'single,decode',
      lengths: '300',
      repetitions: '200',
      pause: '5',
    });
    await vi.waitUntil(
      () => readdirSync(folder).includes('single-baseline.csv') && rowsOf('single-baseline.csv').length > 3,
      { timeout: 20_000 },
    );
    // Whatever may happen: nobody is to take the rows for a real engine's.
    expect(description()).toMatchObject({ simulated: { profile: 'h200' }, recordings: [{ interrupted: true }] });
    process.listeners('SIGINT').at(-1)?.('SIGINT');
    const { code, err } = await recording;
    expect(code).toBe(130);
    expect(err).toContain('Interrupted');
    expect(readFileSync(join(folder, 'single-baseline.csv'), 'utf8')).toMatch(/\n$/);
    expect(rowsOf('single-baseline.csv').every((row) => row.length === 13)).toBe(true);
    expect(readdirSync(folder)).not.toContain('decode-baseline.csv');
    expect(description().recordings).toMatchObject([{ interrupted: true, files: ['single-baseline.csv'] }]);
  });

  it('leaves nothing of a round that was interrupted: what was given up held up the rest', async () => {
    let answered = 0;
    const url = await serveRaw(async (exchange) => {
      answered += 1;
      if (answered === 1) return exchange.answer(200, COMPLETION, EVENTS);
      // The first one's end is read by then.
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      process.listeners('SIGINT').at(-1)?.('SIGINT');
    });
    const { code } = await record({ engine: 'baseline', url, parts: 'arrivals', arrivals: ['burst:2'], pause: '0' });
    expect([code, answered, readdirSync(folder)]).toEqual([130, 2, []]);
  });

  it('ends with 1 where a prompt that was cached is not any more', async () => {
    // Cold, again; and once more, as in the unrecorded prompts before.
    const cached = [0, 288, 0, 0];
    const url = await serveRaw((exchange) => {
      const details = { prompt_tokens_details: { cached_tokens: cached.shift() } };
      const usage = { prompt_tokens: 300, completion_tokens: 1, ...details };
      return exchange.answer(200, `data: ${JSON.stringify({ choices: [], usage })}\n\n${COMPLETION}`, EVENTS);
    });
    const flags = { parts: 'single', lengths: '300', repetitions: '1', pause: '0' };
    const { code, err } = await record({ engine: 'baseline', url, ...flags });
    expect(err).toContain(
      '1 failed, and are left out; the first: 300 tokens, gpu: The same prompt sent twice shows no',
    );
    expect(code).toBe(1);
    expect(readRecording(join(folder, 'single-baseline.csv'))).toMatchObject([{ cachedIn: 'none' }]);
  });

  it('ends with 1, without a batch whose tokens came all at once', async () => {
    const url = await serveRaw((exchange) => exchange.answer(200, COMPLETION, EVENTS));
    const flags = {
      parts: 'decode',
      batches: '2',
      'decode-prompt-tokens': '9',
      'decode-output-tokens': '3',
      pause: '0',
    };
    const { code, err } = await record({ engine: 'baseline', url, ...flags });
    expect(err).toContain('1 failed, and are left out; the first: tokens of batch 2 came several at a time');
    expect([code, readdirSync(folder)]).toEqual([1, []]);
  });

  describe('ends with 3 and records nothing where', () => {
    const single = { parts: 'single', lengths: '300', repetitions: '1' };
    const expectNothing = ({ code }: Ended): void => {
      expect(code).toBe(3);
      expect(readdirSync(folder)).toEqual([]);
    };

    it('nobody answers', async () => {
      const ended = await record({ engine: 'baseline', url: 'http://127.0.0.1:1' });
      expectNothing(ended);
      expect(ended.err).toContain('http://127.0.0.1:1/v1/models got no answer');
    });

    it('the prefix cache cannot be reset', async () => {
      const ended = await record({ engine: 'lmcache', url: await serve(WITH_LMCACHE), ...single });
      expectNothing(ended);
      expect(ended.err).toContain('VLLM_SERVER_DEV_MODE=1');
    });

    it('a server without LMCache is called one with it', async () => {
      const url = await serve(['--enable-prompt-tokens-details'], DEVELOPMENT);
      const ended = await record({ engine: 'lmcache', url, ...single });
      expectNothing(ended);
      expect(ended.err).toContain('No token came from LMCache');
    });

    it('the server does not tell cached tokens', async () => {
      const ended = await record({ engine: 'baseline', url: await serve([]), ...single });
      expectNothing(ended);
      expect(ended.err).toContain('--enable-prompt-tokens-details');
    });

    it('the prompts of this seed are known to the server', async () => {
      const url = await serve(['--enable-prompt-tokens-details']);
      const out = join(folder, 'first');
      expect(await record({ engine: 'baseline', url, ...single, seed: '1', out })).toMatchObject({ code: 0 });
      rmSync(out, { recursive: true });
      const ended = await record({ engine: 'baseline', url, ...single, seed: '1' });
      expectNothing(ended);
      expect(ended.err).toContain('take another --seed');
    });
  });

  describe('ends with 2 before anything is sent where', () => {
    it('values are wrong, all told at once', async () => {
      const { code, err } = await record({
        ...{ url: 'ftp://x', engine: 'basline', parts: 'singel', lengths: '300,x', repetitions: '0', batches: '4,4' },
        ...{ pause: '-1', arrivals: ['poisson:3', 'burst:2,burst:3'], 'arrival-prompt-tokens': '9-3', seed: 'x' },
        ...{ 'decode-output-tokens': '2', out: '' },
      });
      expect(code).toBe(2);
      expect(err.split('\n')).toEqual([
        `--url must be a server's address such as http://127.0.0.1:8000, not "ftp://x".`,
        '--engine must be lmcache or baseline, not "basline".',
        '--out is missing: the folder of the recordings.',
        '--parts takes single, ids, decode, arrivals, longdoc with commas between, not "singel"; did you mean single?',
        '--lengths must be a whole number from 1 to 10000000, not "x".',
        '--repetitions must be a whole number from 1 to 10000000, not "0".',
        '--pause must be a number of at least 0 and of at most 600, not "-1".',
        '--batches names "4" twice; each is recorded once.',
        '--arrivals takes poisson:RATE:COUNT, e.g. poisson:2:40, or burst:COUNT, e.g. burst:24, not "poisson:3".',
        '--arrival-prompt-tokens must be MIN-MAX tokens, e.g. 1000-6000, or one number, not "9-3".',
        '--seed must be a number of at least 0, not "x".',
        '--decode-output-tokens must be at least 3, not "2": a step is the time between two tokens.',
        'Nothing was started.',
      ]);
    });

    it.each([
      [{ arrivals: 'poisson:0:5' }, 'RATE of "poisson:0:5" must be requests a second, above 0, not "0"'],
      [{ arrivals: 'burst:many' }, 'COUNT of "burst:many" must be a whole number from 1 to 10000000, not "many"'],
      [{ arrivals: 'burst:2,burst:3' }, '--arrivals: "burst" is there twice'],
      [{ engine: undefined }, '--engine is missing: lmcache or baseline'],
      [{ seed: '4294967296' }, '--seed must be at most 4294967295, not "4294967296"'],
    ])('%j', async (flags, message) => {
      const { code, err } = await record({ engine: 'baseline', ...flags });
      expect(code).toBe(2);
      expect(err).toContain(message);
    });

    it('the server has no such model, or takes no such prompts', async () => {
      const url = await serve(['--max-model-len', '4096']);
      const other = await record({ engine: 'baseline', url, model: 'other/x' });
      expect(other).toMatchObject({ code: 2 });
      expect(other.err).toContain('--model "other/x" is not served; ');
      expect(other.err).toContain('serves "Qwen/Qwen3-14B"');
      const long = await record({ engine: 'baseline', url, lengths: '500,4096', parts: 'single' });
      expect(long).toMatchObject({ code: 2 });
      expect(long.err).toContain(
        '--lengths "4096" makes 4097 tokens\n"Qwen/Qwen3-14B" as it is served takes at most 4096',
      );
      expect(readdirSync(folder)).toEqual([]);
    });

    it('the folder holds such a recording, or one of another model, or of real engines', async () => {
      const url = await serve(['--enable-prompt-tokens-details']);
      const flags = { engine: 'baseline', url, parts: 'decode' };
      writeFileSync(join(folder, 'decode-baseline.csv'), '');
      expect((await record(flags)).err).toContain('holds "decode-baseline.csv" already');
      rmSync(join(folder, 'decode-baseline.csv'));
      for (const [text, message] of [
        ['{"model": "Qwen/Qwen3-8B"}', 'of "Qwen/Qwen3-8B", not of "Qwen/Qwen3-14B"'],
        ['{"model": "Qwen/Qwen3-14B", "recordings": [{}]}', 'of real engines, and this one is not'],
        ['[]', 'recording.json": ✖ Invalid input: expected object'],
      ] as const) {
        writeFileSync(join(folder, 'recording.json'), text);
        const { code, err } = await record(flags);
        expect(code).toBe(2);
        expect(err).toContain(message);
        expect(readdirSync(folder)).toEqual(['recording.json']);
      }
    });
  });

  it('ends with 1 where requests failed, and says why in their rows', async () => {
    const url = await serve(['--enable-prompt-tokens-details'], { SIM_FAULT: 'stream-cut=100' });
    const ended = await record({ engine: 'baseline', url, parts: 'arrivals', arrivals: ['burst:2'] });
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('2 failed, and are left out; the first: ');
    expect(rowsOf('arrivals-baseline-burst.csv').slice(1)).toMatchObject([{ length: 9 }, { length: 9 }]);
  });

  it('only tells what it would send with --dry-run', async () => {
    const { code, out } = await record({ engine: 'lmcache', url: 'http://127.0.0.1:1', dryRun: true, seed: '9' });
    expect(code).toBe(0);
    expect(out).toMatch(
      /^single +135 +new texts of 500 .* 12,000 tokens, 5 of each: cold, from the GPU, from LMCache$/m,
    );
    expect(out).toMatch(/^decode +63 +batches of 1, 2, 4, 8, 16, 32 at once/m);
    expect(out).toMatch(/^arrivals +40 +2 a second, at random times/m);
    expect(out).toMatch(/^longdoc +48 +24 documents of 6,000 tokens/m);
    expect(out).toContain('Nothing was sent.');
    expect(readdirSync(folder)).toEqual([]);
  });
});
