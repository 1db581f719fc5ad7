import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonText, jsonParts } from '../../workloads/json-text.js';
import { utf8ToJson } from '../../workloads/utf8-json.js';

test('any bytes become the JSON string that JSON.stringify makes of them', () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
    fc.constantFrom(
      [0xe0, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x9f, 0x98],
      [0xf4, 0x90],
      [0xef, 0xbb, 0xbf],
      [34, 92, 31],
    ),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
      expect(utf8ToJson(bytes).toString('latin1')).toBe(
        Buffer.from(JSON.stringify(bytes.toString('utf8'))).toString('latin1'),
      );
    }),
    { numRuns: 1000 },
  );
});

test('JSON within a body is sent as it is, not copied; the body is the same as without', () => {
  const inner = Buffer.from(JSON.stringify('a "text"\n'));
  const json = new JsonText(inner);
  const bodies = (text: unknown) => [
    { model: 'm', prompt: text, max_tokens: 1, seed: null },
    { messages: [{ content: [{ type: 'text', text }] }] },
  ];
  for (const [index, body] of bodies(json).entries()) {
    const parts = jsonParts(body);
    expect(parts[1]).toBe(inner);
    expect(Buffer.concat(parts).toString()).toBe(JSON.stringify(bodies('a "text"\n')[index]));
  }
  expect(jsonParts({ a: 'é' }).map(String)).toEqual(['{"a":"é"}']);
});
