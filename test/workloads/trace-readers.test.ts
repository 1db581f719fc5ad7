import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CsvScanner } from '../../workloads/traces/csv-scanner.js';
import { KeyTable } from '../../workloads/traces/key-table.js';
import { openTrace } from '../../workloads/traces/open-trace.js';
import { ServerLogTrace } from '../../workloads/traces/server-log.js';
import { TimestampParser } from '../../workloads/traces/timestamps.js';
import {
  TraceFileError,
  type TraceFormat,
  type TraceReadOptions,
  type TraceRequest,
  traceFormats,
} from '../../workloads/traces/trace.js';

let directory = '';
let files = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmcache-ci-traces-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function open(content: string | Uint8Array, options?: TraceReadOptions) {
  files += 1;
  const path = join(directory, `trace-${files}`);
  await writeFile(path, content);
  return openTrace(path, options);
}

async function read(content: string | Uint8Array, options?: TraceReadOptions) {
  const trace = await open(content, options);
  const requests: TraceRequest[] = [];
  for await (const batch of trace.batches()) requests.push(...batch);
  return { trace, requests, notes: Object.fromEntries(trace.notes) };
}

/** time, conversation, turn, question, prompt, answer */
const short = (requests: readonly TraceRequest[]) =>
  requests.map((request) => [
    request.timeSeconds,
    request.conversationId,
    request.turn,
    request.newTokens,
    request.promptTokens,
    request.outputTokens,
  ]);

describe('conversational CSV', () => {
  it('has the columns of the original runner’s data sets', async () => {
    const { trace, requests, notes } = await read(
      '@timestamp,ConversationId,CustomerQueryLength,GenerativeModelResponseLength\n' +
        '2025-05-29 05:00:00.250,a1,100,50\n2025-05-29 05:00:01.250,b2,200,\n' +
        '2025-05-29 05:00:02.500,a1,,70\n2025-05-29 05:00:03.250,a1,30,60.0\n',
    );
    expect([trace.format, trace.hasTimes, trace.startedAt]).toEqual(['conversation-csv', true, 1_748_494_800.25]);
    expect(short(requests)).toEqual([
      [0, 'a1', 0, 100, 100, 50],
      [1, 'b2', 0, 200, 200, 128],
      [3, 'a1', 1, 30, 180, 60],
    ]);
    expect(notes).toEqual({
      'rows without a question were left out': 1,
      'answers without a length were taken for 128 tokens': 1,
    });
  });

  it.each([
    ['session_id,Turn-Number,arrival time,input_tokens,output_tokens\ns,5,10,7,3\ns,9,12.5,2,1\n'],
    [
      '\uFEFFresponse_tokens, prompt_tokens ,ts,turn,conversation id,other\r\n3,7,10,1,s,"x,\ny"\r\n\r\n1,2,12.5,2,"s",',
    ],
  ])('takes other names, orders, quotes and line ends: %j', async (text) => {
    expect(short((await read(text)).requests)).toEqual([
      [0, 's', 0, 7, 7, 3],
      [2.5, 's', 1, 2, 12, 1],
    ]);
  });

  it('counts tokens of texts where there are no lengths', async () => {
    const { requests } = await read('time,conversation,query,response\n0,a,"say ""hi"", please",hello\n', {
      countTokens: (text) => text.length,
    });
    expect(requests[0]).toMatchObject({
      inputText: 'say "hi", please',
      newTokens: 16,
      outputText: 'hello',
      outputTokens: 5,
    });
  });

  const header = 'time,conversation,turn,input_tokens,output_tokens\n';
  it.each([
    ['a length that is none', `${header}0,a,1,12x,3\n`, 2, 'input_tokens', '"12x"'],
    ['a negative one', `${header}0,a,1,5,3\n1,a,2,-5,3\n`, 3, 'input_tokens', '"-5"'],
    ['a part of a token', `${header}0,a,1,5,3.5\n`, 2, 'output_tokens', '"3.5"'],
    ['too large a one', `${header}0,a,1,5,3000000000\n`, 2, 'output_tokens', '"3000000000"'],
    ['no time', `${header}yesterday,a,1,5,3\n`, 2, 'time', '"yesterday"'],
    ['an impossible date', `${header}2025-02-30 10:00:00,a,1,5,3\n`, 2, 'time', '2025-02-30'],
    ['no conversation', `${header}0,,1,5,3\n`, 2, 'conversation', '""'],
    ['turns that go back', `${header}0,a,2,5,3\n1,a,1,5,3\n`, 3, 'turn', '"1"'],
    ['a field too many', `${header}0,a,1,5,3\n\n1,a,2,5,3,9\n`, 4, null, '6 fields'],
    ['an open quote', `${header}0,a,1,5,3\n1,"a,2,5,3\n`, 3, null, 'never closed'],
    ['text behind a quote', `${header}0,"a"b,1,5,3\n`, 2, null, 'behind the closing quote'],
    ['a column twice', 'time,timestamp,conversation,input_tokens\n', 1, 'timestamp', '"time"'],
  ])('locates %s', async (_, text, line, column, message) => {
    const failure = await read(text).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TraceFileError);
    expect(failure).toMatchObject({ line, column, message: expect.stringContaining(message) });
    expect((failure as Error).message).toContain(directory);
  });

  it('says which columns are missing, and which are there', async () => {
    await expect(read('a,b\n1,2\n', { format: 'conversation-csv' })).rejects.toThrow(
      /no column for the time: one of @timestamp.*no column for the length.*"a", "b"/s,
    );
  });
});

describe('Azure CSV', () => {
  it('has no conversations: every row is a prompt of its own', async () => {
    const { trace, requests } = await read(
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n',
    );
    expect(trace.format).toBe('azure-csv');
    expect(short(requests)).toEqual([
      [0, '0', 0, 374, 374, 44],
      [expect.closeTo(4.314579, 5), '1', 0, 396, 396, 109],
    ]);
  });
});

describe('Mooncake traces', () => {
  const row = (more: object) =>
    `${JSON.stringify({ timestamp: 27_000, input_length: 600, output_length: 52, hash_ids: [46, 47], ...more })}\n`;

  it('are read with their block ids and sessions', async () => {
    const { trace, requests } = await read(
      row({ session_id: 's' }) + row({ timestamp: 30_500, session_id: 's', input_length: 1000 }),
    );
    expect([trace.format, trace.blockTokens]).toEqual(['mooncake', 512]);
    expect(short(requests)).toEqual([
      [0, 's', 0, 600, 600, 52],
      [3.5, 's', 1, 348, 1000, 52],
    ]);
    expect(requests[0]?.hashIds).toEqual([46, 47]);
  });

  it.each([
    [`${row({})}{"timestamp": 1`, 2, null, 'is no JSON'],
    [row({ input_length: -1 }), 1, 'input_length', ''],
    [row({ output_length: undefined }), 1, 'output_length', 'is missing'],
    [row({}) + row({ hash_ids: [1] }), 2, 'hash_ids', '1 ids, where 600 tokens are 2 blocks'],
    [row({ hash_ids: [1, -2] }), 1, 'hash_ids.1', ''],
  ])('locates what is wrong: %j', async (text, line, column, message) => {
    await expect(read(text)).rejects.toMatchObject({ line, column, message: expect.stringContaining(message) });
  });
});

describe('ShareGPT', () => {
  it('makes a request of each answer', async () => {
    const said = [
      { from: 'system', value: 'be short' },
      { from: 'human', value: 'hi' },
      { from: 'gpt', value: 'hello' },
      { from: 'tool', value: 'x' },
      { from: 'human', value: 'bye' },
      { from: 'gpt', value: 'ciao' },
    ];
    const text = JSON.stringify(
      [
        { id: 'q_1', conversations: said },
        { conversations: [] },
        {
          messages: [
            { role: 'user', content: 'a' },
            { role: 'assistant', content: 'bc' },
          ],
        },
      ],
      null,
      1,
    );
    const { trace, requests, notes } = await read(text, { countTokens: ({ length }) => length });
    expect([trace.format, trace.hasTimes]).toEqual(['sharegpt', false]);
    expect(short(requests)).toEqual([
      [null, 'q_1', 0, 12, 12, 5],
      [null, 'q_1', 1, 3, 20, 4],
      [null, '1', 0, 1, 1, 2],
    ]);
    expect(Object.keys(notes)).toEqual([
      'messages of "tool" were left out',
      'conversations without an answered question were left out',
    ]);
  });

  it.each([
    ['[\n{"conversations": 7}]', 2, 'conversations'],
    ['[{"conversations": []},\n\n{"a" 1}]', 3, null],
    ['[{"conversations": []}\n', 2, null],
    ['[{"conversations": []}]\nx', 2, null],
    ['[{"conversations": [{"from": "human", "value": "\\u00"}]}]', 1, null],
  ])('locates what is wrong: %j', async (text, line, column) => {
    await expect(read(text)).rejects.toMatchObject({ line, column });
  });
});

describe('server logs', () => {
  // Lines of LMCache 0.5.3 and of vLLM with LMCache inside, colours kept.
  const stored =
    '\u001b[32;20m[2026-11-22 01:12:20,714] LMCache INFO:\u001b[0m Stored 8192 tokens in 0.008 seconds \u001b[3m(lmcache_driven_transfer.py:1159)\u001b[0m\n';
  const prefetch =
    '[2026-11-22 01:19:11,003] LMCache INFO: Prefetch request completed (L1+L2): 39/39 retained keys (30 L1, 9 L2) in 397.1 ms (external_request_id=chatcmpl-80c7, prefetch_request_id=57) (storage_manager.py:716)\n';
  const lookup = (second: number, id: string, tokens: number, hits: number) =>
    `(EngineCore_DP0 pid=32) [2025-10-20 08:56:${second}.487] LMCache INFO: Reqid: chatcmpl-${id}-b7a3cc8d, Total tokens ${tokens}, Inference Engine computed tokens: 0, LMCache hit tokens: ${hits}, need to load: ${hits} (vllm_v1_adapter.py:1189)\n`;

  it('give a trace where lookups name conversation and turn', async () => {
    const { trace, requests } = await read(
      `${stored}${lookup(10, 'conv_7_0', 600, 0)}${lookup(12, 'conv_7_1', 900, 512)}${lookup(13, 'conv_7_1', 900, 512)}${prefetch}` +
        '[2025-10-20 08:56:20,000] INFO [Observability] on_lookup: conv_8_1, num_tokens=300, hit_tokens=256, accumulated_hit_tokens=256, lookup_id=abc\n',
    );
    expect(short(requests)).toEqual([
      [0, '7', 0, 600, 600, 0],
      [2, '7', 1, 300, 900, 0],
      [expect.closeTo(9.513, 6), '8', 0, 300, 300, 0],
    ]);
    expect(trace instanceof ServerLogTrace && trace.facts).toMatchObject({
      lookups: 4,
      namedLookups: 4,
      lookupTokens: 2700,
      hitTokens: 1280,
      storedTokens: 8192,
      l1Chunks: 30,
      l2Chunks: 9,
    });
  });

  it('may be those of a sweep’s client, in the order in which answers ended', async () => {
    const { requests } = await read(
      '2026-11-22T06:44:52.859Z experiment t_2gb\n' +
        '2026-11-22T06:44:55.766Z conversation=5 turn=1 due=1.000s sent=1.500s prompt=300 cached=0 output=60 ttft=36.1ms e2el=61.4ms\n' +
        '2026-11-22T06:44:55.900Z conversation=4 turn=1 due=0.100s sent=0.250s prompt=200 cached=unknown output=90 ttft=36.1ms e2el=161.4ms\n' +
        '2026-11-22T06:44:56.766Z conversation=5 turn=2 due=4.000s sent=4.000s prompt=350 cached=256 output=7 ttft=36.1ms e2el=61.4ms\n',
    );
    expect(short(requests)).toEqual([
      [0, '5', 0, 300, 300, 60],
      [-1.25, '4', 0, 200, 200, 90],
      [2.5, '5', 1, 0, 360, 7],
    ]);
  });

  it('give only sums where they do not', async () => {
    const { trace, requests } = await read(stored + lookup(10, '80c7c9d4dd87abab', 600, 256));
    expect(requests).toEqual([]);
    expect(trace instanceof ServerLogTrace && trace.facts).toMatchObject({
      lookups: 1,
      namedLookups: 0,
      hitTokens: 256,
    });
  });

  it('must say anything about a cache at all', async () => {
    await expect(read('INFO 11-22 01:10:37 vllm starts\n')).rejects.toThrow('no line says anything about a cache');
  });
});

describe('any file at all', () => {
  it('is read, or named with a located error', async () => {
    const scraps = fc.constantFrom(
      '{',
      '[',
      '"',
      ',',
      '\n',
      '\r\n',
      'time,conversation,input_tokens\n',
      '0,a,5',
      '{"timestamp":1,',
      '[{"conversations":',
      'LMCache INFO: Stored 5 tokens',
      '\uFEFF',
      '\0',
      'é',
    );
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.oneof(scraps, fc.string({ maxLength: 8 })), { maxLength: 20 }).map((parts) => parts.join('')),
    );
    await fc.assert(
      fc.asyncProperty(content, fc.option(fc.constantFrom<TraceFormat>(...traceFormats)), async (bytes, format) => {
        const outcome = await read(bytes, format === null ? {} : { format }).then(
          () => 'read',
          (error: unknown) => (error instanceof TraceFileError ? 'named' : error),
        );
        expect(['read', 'named']).toContain(outcome);
      }),
      { numRuns: 200 },
    );
  });

  it('must exist and be a file', async () => {
    await expect(openTrace(join(directory, 'none.csv'))).rejects.toThrow(/none\.csv": does not exist/);
    await expect(openTrace(directory)).rejects.toThrow(/cannot be read: EISDIR/);
    await expect(open('')).rejects.toThrow('is empty');
    await expect(open('what is this\n')).rejects.toThrow('is no trace that is known');
  });
});

describe('the CSV scanner', () => {
  it('gives what was written, wherever the bytes are cut', () => {
    const field = fc.oneof(fc.stringMatching(/^[ -~é\n\r"]{0,6}$/), fc.nat().map(String));
    fc.assert(
      fc.property(
        fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom('\n', '\r\n'),
        fc.integer({ min: 1, max: 7 }),
        (rows, delimiter, cut) => {
          const written = rows.map((row) => row.map((text) => text.trim().replaceAll('\r', '')));
          const bytes = Buffer.from(stringify(written, { record_delimiter: delimiter, quoted_match: /[\n ]/ }));
          const scanner = new CsvScanner('x.csv');
          const found: string[][] = [];
          for (let at = 0; at < bytes.length || at === 0; at += cut) {
            scanner.push(Buffer.from(bytes.subarray(at, at + cut)), at + cut >= bytes.length, (record) =>
              found.push(Array.from({ length: record.fieldCount }, (_, index) => record.text(index))),
            );
          }
          expect(found).toEqual(written);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('times', () => {
  const parse = (text: string) => {
    const parser = new TimestampParser();
    const bytes = Buffer.from(text);
    return parser.parse(bytes, 0, bytes.length) ? parser.seconds : null;
  };

  it.each([
    ['2023-11-16 18:15:46.6805900', 1_700_158_546.68059],
    ['2024-05-10 00:00:00.009930+00:00', 1_715_299_200.00993],
    ['2025-05-29T05:00:00.123Z', 1_748_494_800.123],
    ['2025-05-29T07:00:00+0200', 1_748_494_800],
    ['2025-05-29 05:00:00,5 UTC', 1_748_494_800.5],
    ['2025-05-29', 1_748_476_800],
    ['2025-05-29T05:00', 1_748_494_800],
    ['12.5', 12.5],
    ['1748494800', 1_748_494_800],
    ['1748494800123', 1_748_494_800.123],
    ['1748494800123456', 1_748_494_800.123456],
    ['1748494800123456789', 1_748_494_800.123457],
    ['1.5e3', 1500],
  ])('%s', (text, seconds) => {
    expect(parse(text)).toBeCloseTo(seconds, 5);
  });

  it.each([
    '',
    'now',
    '2025-13-01',
    '2025-02-29',
    '2025-05-29T24:00',
    '2025-05-29T05:00:00.',
    '2025-05-29T05:00:00X',
    '2025-05-29T05:00:00+99',
    '0x10',
    '1,5',
  ])('not "%s"', (text) => {
    expect(parse(text)).toBeNull();
  });

  it('agrees with Date', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1971-01-01'), max: new Date('2199-01-01'), noInvalidDate: true }),
        (date) => {
          expect(parse(date.toISOString())).toBeCloseTo(date.getTime() / 1000, 4);
        },
      ),
    );
  });
});

describe('the table of keys', () => {
  it('numbers keys in order of appearance', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string({ maxLength: 5 }), fc.uuid()), { maxLength: 200 }), (names) => {
        const table = new KeyTable(16);
        const known = new Map<string, number>();
        for (const name of names) {
          if (!known.has(name)) known.set(name, known.size);
          expect(table.intern(name)).toBe(known.get(name));
        }
      }),
    );
  });

  it('tells a million pairs apart', () => {
    const table = new KeyTable();
    for (let parent = -1; parent < 999; parent += 1) {
      for (let key = 0; key < 1000; key += 1) table.internChild(parent, key);
    }
    expect(table.size).toBe(1_000_000);
    expect(table.internChild(-1, 5)).toBe(5);
  });
});
