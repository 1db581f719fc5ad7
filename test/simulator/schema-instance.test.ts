import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { schemaInstance, spacedJson } from '../../simulator/http/schema-instance.js';

type JsonSchema = Exclude<Parameters<typeof z.fromJSONSchema>[0], boolean>;

/** Draws that repeat the given numbers. */
function draws(numbers: readonly number[]) {
  let at = 0;
  const next = (): number => numbers[at++ % numbers.length] ?? 0;
  return { number: (below: number) => next() % below, word: () => ['red', 'garden', 'sings'][next() % 3] ?? '' };
}

const WEATHER: JsonSchema = {
  type: 'object',
  properties: {
    city: { type: 'string', minLength: 12, maxLength: 14 },
    unit: { enum: ['celsius', 'fahrenheit'] },
    days: { type: 'integer', minimum: 3, maximum: 5 },
    wind: { type: 'number', exclusiveMinimum: 0.2, exclusiveMaximum: 0.4 },
    fixed: { const: 7 },
    even: { type: 'integer', multipleOf: 4, minimum: 5 },
    tags: { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 2 },
    pair: { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'boolean' }], items: false },
    place: { $ref: '#/$defs/Place' },
    maybe: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
    both: {
      allOf: [
        { $ref: '#/$defs/Place' },
        { type: 'object', properties: { zip: { type: 'string' } }, required: ['zip'] },
      ],
    },
    counts: { type: 'object', additionalProperties: { type: 'integer' } },
    when: { type: 'string', format: 'date-time' },
    kind: { type: ['string', 'null'] },
    other: { oneOf: [{ type: 'object', properties: { a: { type: 'null' } }, required: ['a'] }] },
  },
  required: ['city', 'unit', 'days', 'tags', 'place', 'both'],
  additionalProperties: false,
  $defs: {
    Place: {
      type: 'object',
      properties: { street: { type: 'string' }, number: { type: 'integer', minimum: 1 } },
      required: ['street', 'number'],
    },
  },
};

describe('an instance of a schema', () => {
  it('is valid, whatever is drawn', () => {
    const validator = z.fromJSONSchema(WEATHER);
    fc.assert(
      fc.property(fc.array(fc.nat(200_000), { minLength: 1, maxLength: 40 }), (numbers) => {
        expect(validator.safeParse(schemaInstance(WEATHER, draws(numbers))).error).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('fills what is required though no property describes it', () => {
    expect(schemaInstance({ required: ['x'] }, draws([0]))).toEqual({ x: 'red' });
    expect(schemaInstance({ type: 'object' }, draws([0]))).toEqual({ red_1: 'red' });
  });

  it('ends where a schema refers to itself', () => {
    const tree: JsonSchema = {
      type: 'object',
      properties: {
        name: { type: 'string' },
        next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
        children: { type: 'array', items: { $ref: '#' } },
      },
      required: ['name', 'next', 'children'],
    };
    expect(z.fromJSONSchema(tree).safeParse(schemaInstance(tree, draws([0, 2, 1]))).error).toBeUndefined();
  });

  it.each([
    { $ref: '#' },
    { allOf: [{ $ref: '#' }, { $ref: '#' }] },
    { type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } }, required: ['a', 'b'] },
    { type: 'array', items: { type: 'array', minItems: 1e9, items: {} }, minItems: 1e9 },
    { type: 'string', minLength: 1e9 },
    { $ref: '#/nowhere/%' },
  ])('is soon there for a hostile schema: %j', (schema) => {
    const before = process.cpuUsage();
    schemaInstance(schema, draws([3, 1]));
    expect(process.cpuUsage(before).user).toBeLessThan(1_000_000);
  });

  it('is written as Python writes JSON', () => {
    expect(spacedJson({ a: [1, 'grün "x"'], b: null })).toBe('{"a": [1, "gr\\u00fcn \\"x\\""], "b": null}');
  });
});
