import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HttpFormatError, HttpResponseParser } from '../../workloads/http-response-parser.js';
import { chunkOf } from '../fixtures/raw-http-server.js';

interface Parsed {
  status: number;
  headers: Record<string, string>;
  body: string;
  complete: boolean;
  reusable: boolean;
}

function parse(pieces: readonly Uint8Array[], closes = false): Parsed {
  const parsed: Parsed = { status: 0, headers: {}, body: '', complete: false, reusable: false };
  const body: Buffer[] = [];
  const parser = new HttpResponseParser({
    onHead: (head) => {
      parsed.status = head.status;
      parsed.headers = Object.fromEntries(head.headers);
    },
    onBody: (bytes, start, end) => body.push(Buffer.from(bytes.subarray(start, end))),
    onComplete: (_time, reusable) => {
      parsed.complete = true;
      parsed.reusable = reusable;
    },
  });
  for (const piece of pieces) {
    parser.push(piece, 0, piece.length, 0);
  }
  if (closes) {
    parser.finish(0);
  }
  parsed.body = Buffer.concat(body).toString();
  return parsed;
}

const text = (value: string): Uint8Array[] => [Buffer.from(value)];
const OK = 'HTTP/1.1 200 OK\r\n';

test('a body in chunks, with extensions and a trailer, cut anywhere', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), { maxLength: 8 }),
      fc.array(fc.nat(5000), { maxLength: 40 }),
      fc.constantFrom('', ';name=value', ' '),
      fc.constantFrom('', 'x-checksum: 1\r\n'),
      (bodies, places, extension, trailer) => {
        const chunks = bodies.map((body) => {
          const framed = chunkOf(body).toString();
          return framed.replace('\r\n', `${extension}\r\n`);
        });
        const bytes = Buffer.from(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n${trailer}\r\n`);
        const cuts = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
        const pieces = [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
        expect(parse(pieces)).toEqual({
          status: 200,
          headers: { 'transfer-encoding': 'chunked' },
          body: bodies.join(''),
          complete: true,
          reusable: true,
        });
      },
    ),
  );
});

test('a body with a length; none at all; one that the end of the connection ends', () => {
  expect(parse(text(`${OK}Content-Length: 5\r\n\r\nhello`))).toMatchObject({ body: 'hello', complete: true });
  expect(parse(text(`${OK}Content-Length: 5\r\n\r\nhel`))).toMatchObject({ body: 'hel', complete: false });
  expect(parse(text(`${OK}content-length: 0\r\n\r\n`))).toMatchObject({ body: '', complete: true, reusable: true });
  expect(parse(text('HTTP/1.1 204 No Content\r\n\r\n'))).toMatchObject({ status: 204, complete: true });
  expect(parse(text(`${OK}\r\nuntil the end`))).toMatchObject({ complete: false });
  expect(parse(text(`${OK}\r\nuntil the end`), true)).toMatchObject({
    body: 'until the end',
    complete: true,
    reusable: false,
  });
});

test('whether the connection may be used again', () => {
  expect(parse(text(`${OK}Connection: close\r\nContent-Length: 0\r\n\r\n`)).reusable).toBe(false);
  expect(parse(text('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n')).reusable).toBe(false);
  expect(parse(text('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n')).reusable).toBe(true);
});

test('an interim answer is passed over; repeated fields are joined; bare line feeds are understood', () => {
  expect(parse(text(`HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 1\r\nA: 1\r\na: 2\r\n\r\nx`))).toMatchObject({
    status: 200,
    headers: { a: '1, 2' },
    body: 'x',
  });
  expect(parse(text('HTTP/1.1 200 OK\nContent-Length: 1\n\nx'))).toMatchObject({ body: 'x', complete: true });
});

test.each([
  ['another protocol', 'SSH-2.0-OpenSSH_9\r\n\r\n'],
  ['another version', 'HTTP/2 200\r\n\r\n'],
  ['a switch of protocols', 'HTTP/1.1 101 Switching\r\n\r\n'],
  ['a length that is none', `${OK}Content-Length: -3\r\n\r\n`],
  ['a coding that was not asked for', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`],
  ['a chunk without a size', `${OK}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
  ['a chunk longer than it says', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n`],
  ['more than the answer', `${OK}Content-Length: 1\r\n\r\nabc`],
  ['a head without end', `${OK}${'a: b\r\n'.repeat(20_000)}`],
  ['a chunk size without end', `${OK}Transfer-Encoding: chunked\r\n\r\n${'0'.repeat(2000)}`],
])('%s is refused', (_, answer) => {
  expect(() => parse(text(answer))).toThrow(HttpFormatError);
});
