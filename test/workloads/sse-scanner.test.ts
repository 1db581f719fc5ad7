import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CompletionReader } from '../../workloads/completion-reader.js';
import { SseScanner, StreamFormatError } from '../../workloads/sse-scanner.js';

interface SeenEvent {
  readonly data: string;
  readonly isError: boolean;
}

function scan(pieces: readonly Uint8Array[]): SeenEvent[] {
  const seen: SeenEvent[] = [];
  const scanner = new SseScanner({
    onEvent: (bytes, start, end, _time, isError) =>
      seen.push({ data: Buffer.from(bytes.subarray(start, end)).toString(), isError }),
  });
  for (const [time, piece] of pieces.entries()) {
    // As from a socket: the bytes lie somewhere in a buffer that is overwritten afterwards.
    const buffer = Buffer.alloc(piece.length + 7, 120);
    buffer.set(piece, 3);
    scanner.push(buffer, 3, 3 + piece.length, time);
    buffer.fill(120);
  }
  scanner.finish(pieces.length);
  return seen;
}

/** Cut at the given places, in whatever order and how often they come. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
}

/** The standard's own words, the slow way: on the whole text. */
function reference(text: string): SeenEvent[] {
  const events: SeenEvent[] = [];
  let data: string[] = [];
  let type = '';
  const lines = text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/);
  lines.pop();
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) {
        events.push({ data: data.join('\n'), isError: type === 'error' });
      }
      data = [];
      type = '';
    } else if (!line.startsWith(':')) {
      const [, name = line, value = ''] = /^([^:]*):? ?([\s\S]*)$/.exec(line) ?? [];
      if (name === 'data') {
        data.push(value);
      } else if (name === 'event') {
        type = value;
      }
    }
  }
  return events;
}

const lineText = fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replace(/[\r\n\ufeff]/g, '_'));
const line = fc.oneof(
  { weight: 6, arbitrary: lineText.map((text) => `data: ${text}`) },
  { weight: 1, arbitrary: lineText.map((text) => `data:${text}`) },
  { weight: 1, arbitrary: lineText.map((text) => `: ${text}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('data', 'event: error', 'event: message', 'id: 7', 'retry: 10', 'database: x'),
  },
  { weight: 4, arbitrary: fc.constant('') },
);
const ending = fc.constantFrom('\n', '\r\n', '\r');
const stream = fc
  .tuple(fc.array(fc.tuple(line, ending), { maxLength: 30 }), fc.boolean())
  .map(([lines, bom]) => `${bom ? '\ufeff' : ''}${lines.map(([text, end]) => text + end).join('')}`);

describe('splitting into events', () => {
  test('is what the standard says, wherever the reads cut: in UTF-8, in "data:", in CRLF', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(4000), { maxLength: 60 }), (text, places) => {
        const expected = reference(text);
        const bytes = Buffer.from(text);
        expect(scan(cut(bytes, places))).toEqual(expected);
        expect(scan(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('a CR LF cut in two does not make a blank line', () => {
    expect(
      scan([Buffer.from('data: a\r'), Buffer.from('\ndata: b\r\n'), Buffer.from('\r'), Buffer.from('\n')]),
    ).toEqual([{ data: 'a\nb', isError: false }]);
  });

  test('the end of the stream drops an unfinished event, but not [DONE]', () => {
    expect(scan([Buffer.from('data: {"half": tr')])).toEqual([]);
    expect(scan([Buffer.from('data: x\n')])).toEqual([]);
    expect(scan([Buffer.from('data: x\n\ndata: [DONE]')])).toEqual([
      { data: 'x', isError: false },
      { data: '[DONE]', isError: false },
    ]);
  });

  test('an event of 16 MB arrives whole; one beyond 64 MiB is refused', () => {
    const big = Buffer.from(`data: ${'y'.repeat(16 * 1024 * 1024)}\n\n`);
    const pieces = Array.from({ length: Math.ceil(big.length / 65536) }, (_, index) =>
      big.subarray(index * 65536, (index + 1) * 65536),
    );
    expect(scan(pieces)[0]?.data.length).toBe(16 * 1024 * 1024);
    const scanner = new SseScanner({ onEvent: () => undefined });
    const block = Buffer.alloc(1024 * 1024, 97);
    expect(() => {
      for (let count = 0; count <= 64; count += 1) {
        scanner.push(block, 0, block.length, 0);
      }
    }).toThrow(StreamFormatError);
  });
});

interface Read {
  readonly text: string;
  readonly tokens: number;
  readonly done: boolean;
  readonly usage: readonly (number | null)[];
  readonly finishReason: string | null;
  readonly error: string | null;
}

function read(pieces: readonly Uint8Array[]): Read {
  const reader = new CompletionReader(4);
  const scanner = new SseScanner(reader);
  for (const [time, piece] of pieces.entries()) {
    scanner.push(piece, 0, piece.length, time);
  }
  scanner.finish(pieces.length);
  return {
    text: reader.text(),
    tokens: reader.tokenTimes.length,
    done: reader.done,
    usage: [reader.promptTokens, reader.completionTokens, reader.cachedTokens],
    finishReason: reader.finishReason,
    error: reader.inBandError,
  };
}

/** What an ordinary reader with JSON.parse makes of a recorded stream. */
function naiveRead(text: string): { text: string; tokens: number } {
  let content = '';
  let tokens = 0;
  for (const block of text.split('\n\n')) {
    const data = block.replace(/^data: /, '');
    if (data === '' || data === '[DONE]') {
      continue;
    }
    for (const choice of JSON.parse(data).choices) {
      const piece = choice.text ?? choice.delta.content;
      content += choice.index === 0 ? piece : '';
      tokens += choice.delta?.role === undefined ? 1 : 0;
    }
  }
  return { text: content, tokens };
}

describe('recorded streams of vLLM 0.26', () => {
  const streams = [
    ['baseline-chat-stream-1', 32, [15, 32, 0], 'length', true],
    ['baseline-completions-stream-2-bench-shape', 1, [3, 1, 0], 'length', true],
    ['lmcache-chat-stream-4-continuous-usage', 6, [15, 6, 0], 'length', true],
    ['lmcache-completions-stream-3-n2-logprobs', 4, [2, 6, 0], 'length', true],
    ['lmcache-aborted-by-client', 4, [null, null, null], null, false],
  ] as const;

  test.each(streams)('%s', async (name, tokens, usage, finishReason, done) => {
    const bytes = await readFile(new URL(`../fixtures/workloads/sse/${name}.sse`, import.meta.url));
    const naive = naiveRead(bytes.toString());
    const expected = { text: naive.text, tokens, done, usage, finishReason, error: null };
    expect(naive.tokens).toBe(tokens);
    expect(read([bytes])).toEqual(expected);
    expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (places) => {
        expect(read(cut(bytes, places))).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });
});

describe('reading completions', () => {
  const event = (json: unknown): string => `data: ${JSON.stringify(json)}\n\n`;
  const readText = (text: string): Read => read([Buffer.from(text)]);

  test('any text survives, in whatever pieces the tokens come, with whatever white space', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { maxLength: 10 }),
        fc.constantFrom(undefined, 1, '\t'),
        fc.boolean(),
        (pieces, indent, chat) => {
          const body = pieces
            .map((piece) => {
              const choice = chat ? { index: 0, delta: { content: piece } } : { index: 0, text: piece };
              const json = JSON.stringify({ id: 'x', choices: [choice] }, null, indent);
              return `${json
                .split('\n')
                .map((part) => `data: ${part}`)
                .join('\n')}\n\n`;
            })
            .join('');
          const result = readText(body);
          expect(result.text).toBe(pieces.join(''));
          expect(result.tokens).toBe(pieces.length);
        },
      ),
    );
  });

  test('a role is no token, an empty text of a special token is one, an empty delta is none', () => {
    const chat = (delta: unknown, finish: string | null = null): string =>
      event({ choices: [{ index: 0, delta, finish_reason: finish }] });
    const result = readText(
      chat({ role: 'assistant', content: '' }) +
        chat({ role: 'assistant', content: null }) +
        chat({ content: '' }) +
        chat({ content: 'x' }) +
        chat({}, 'stop'),
    );
    expect([result.tokens, result.text, result.finishReason]).toEqual([2, 'x', 'stop']);
  });

  test('reasoning and tool calls are content', () => {
    const delta = (value: unknown): string => event({ choices: [{ index: 0, delta: value }] });
    expect(readText(delta({ reasoning_content: 'hm', content: null })).tokens).toBe(1);
    expect(readText(delta({ reasoning: 'hm' })).text).toBe('hm');
    expect(readText(delta({ tool_calls: [{ index: 0 }] })).tokens).toBe(1);
    expect(readText(delta({ tool_calls: [], content: null })).tokens).toBe(0);
  });

  test('errors inside the stream, in each form servers have', () => {
    expect(readText(event({ error: { message: 'out of memory', code: 500 } })).error).toContain('out of memory');
    expect(readText('event: error\ndata: broken\n\n').error).toBe('broken');
    expect(readText(event({ object: 'error', message: 'old form' })).error).toContain('old form');
    expect(readText(event({ error: null, choices: [{ index: 0, text: 'x' }] })).error).toBeNull();
  });

  test.each([
    ['no JSON', 'nonsense'],
    ['cut off', '{"choices":[{"text":"a"'],
    ['a trailing comma', '{"choices":[],}'],
    ['two values', '{"choices":[]}{}'],
    ['a line feed in a string', '{"choices":[{"text":"a\u0001"}]}'],
    ['choices of another kind', '{"choices":{}}'],
    ['text of another kind', '{"choices":[{"text":5}]}'],
    ['an array', '[1]'],
    ['a wrong literal', '{"x":nul}'],
    ['too deep', `{"x":${'['.repeat(300)}${']'.repeat(300)}}`],
  ])('%s is an error of the stream', (_, data) => {
    expect(() => readText(`data: ${data}\n\n`)).toThrow(StreamFormatError);
  });

  test('members nobody asked for are walked over, whatever they are', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.jsonValue(), (before, after) => {
        const text = `data: ${JSON.stringify({ extra: before, choices: [{ logprobs: after, text: 'ok' }], more: after })}\n\n`;
        expect(readText(text).text).toBe('ok');
      }),
    );
  });
});
