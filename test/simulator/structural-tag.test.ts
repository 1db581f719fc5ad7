import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { seededRandom } from '../../simulator/chance.js';
import { parseStructuralTag } from '../../simulator/http/structural-tag.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const { cases } = z
  .object({ cases: z.array(z.tuple([z.unknown(), z.boolean()])) })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/structural-tags.json', import.meta.url), 'utf8')));

const call = {
  type: 'tag',
  begin: '<call>',
  content: { type: 'json_schema', json_schema: { type: 'object', properties: { n: { enum: [7] } }, required: ['n'] } },
  end: '</call>',
};
const tagged = (format: object) => ({ type: 'structural_tag', format });

/** Twenty texts of one tag. */
function texts(tag: object): readonly string[] {
  const write = parseStructuralTag(tag);
  const random = seededRandom(1);
  const words = ['one', 'two', 'call'];
  const number = (below: number): number => Math.floor(random() * below);
  return Array.from({ length: 20 }, () => write({ number, word: () => words[number(words.length)] ?? '' }));
}

describe('a structural tag', () => {
  it('is taken where XGrammar takes it, and refused where it does not', () => {
    const wrong = cases.filter(([tag, isTaken]) => {
      try {
        parseStructuralTag(tag);
        return !isTaken;
      } catch {
        return isTaken;
      }
    });
    expect(wrong).toEqual([]);
    expect(cases.length).toBeGreaterThan(70);
  });

  // XGrammar's own matcher took 740 texts of all the tags above; these are the rules by which it did.
  it.each([
    [{ type: 'const_string', value: 'yes' }, /^yes$/],
    [{ type: 'regex', pattern: '[ab]{2}' }, /^[ab]{2}$/],
    [{ type: 'grammar', grammar: 'root ::= "a" | "bc"' }, /^(a|bc)$/],
    [{ type: 'sequence', elements: [{ type: 'any_text' }, { type: 'const_string', value: '!' }] }, /^[a-z ]+!$/],
    [{ type: 'or', elements: [{ type: 'const_string', value: 'a' }, call] }, /^(a|<call>\{"n": 7\}<\/call>)$/],
    [call, /^<call>\{"n": 7\}<\/call>$/],
    [{ type: 'triggered_tags', triggers: ['<'], tags: [call] }, /^[a-z ]*<call>\{"n": 7\}<\/call>$/],
    [{ type: 'triggered_tags', triggers: ['<'], tags: [call], at_least_one: true }, /^<call>\{"n": 7\}<\/call>$/],
    [{ type: 'tags_with_separator', tags: [call], separator: ',' }, /^<call>\{"n": 7\}<\/call>$/],
    [{ type: 'qwen_xml_parameter', json_schema: call.content.json_schema }, /^<parameter=n>7<\/parameter>$/],
    [{ ...call.content, style: 'minimax_xml' }, /^<parameter name="n">7<\/parameter>$/],
    [{ ...call.content, style: 'glm_xml' }, /^<arg_key>n<\/arg_key><arg_value>7<\/arg_value>$/],
    [
      {
        type: 'json_schema',
        style: 'deepseek_xml',
        json_schema: { type: 'object', properties: { s: { const: 'a' } }, required: ['s'] },
      },
      /^<｜DSML｜parameter name="s" string="true">a<\/｜DSML｜parameter>$/,
    ],
    [{ ...call.content, style: 'deepseek_xml' }, /^<｜DSML｜parameter name="n" string="false">7<\/｜DSML｜parameter>$/],
    [{ type: 'repeat', min: 2, max: 3, content: { type: 'const_string', value: 'x' } }, /^xx$/],
    [{ type: 'any_text', max_chars: 3 }, /^[a-z ]{0,3}$/],
    [{ type: 'any_text', excludes: ['one', 'two', 'call'] }, /^$/],
    [{ ...call, begin: '[', content: { type: 'any_text' }, end: 'one' }, /^\[(?!.*one.*one)[a-z ]*one$/],
  ])('%j shapes the text', (format, pattern) => {
    for (const text of texts(tagged(format))) expect(text).toMatch(pattern);
  });

  it('of the older form begins structures after a trigger', () => {
    const structure = { begin: '<f>', schema: { const: 1 }, end: '</f>' };
    for (const text of texts({ structures: [structure], triggers: ['<f'] })) expect(text).toMatch(/^[a-z ]*<f>1<\/f>$/);
  });
});

describe('a structural tag in a request', () => {
  let server: ServedInProcess;
  beforeAll(async () => {
    server = await serveInProcess();
  });
  afterAll(() => server.stop());
  const ask = async (body: object) => {
    const response = await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'x', max_tokens: 100, ...body }),
    });
    return { status: response.status, answer: JSON.parse(await response.text()) };
  };

  it('shapes the answer, by either name', async () => {
    for (const body of [
      { response_format: tagged(call) },
      { structured_outputs: { structural_tag: JSON.stringify(tagged(call)) } },
    ]) {
      const { answer } = await ask(body);
      expect(answer.choices[0].text).toMatch(/^ ?<call>\{"n": 7\}<\/call>$/);
    }
  });

  it('is refused as vLLM refuses it, which does not say why', async () => {
    for (const [parameter, body] of [
      ['response_format', { response_format: tagged({ type: 'nope' }) }],
      ['structured_outputs', { structured_outputs: { structural_tag: '{' } }],
    ] as const) {
      const { status, answer } = await ask(body);
      expect([status, answer.error.param]).toEqual([400, parameter]);
      expect(answer.error.message).toContain(`Value error, Invalid ${parameter} structural_tag specification.`);
    }
  });
});
