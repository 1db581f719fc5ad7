import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { validateJson, validateText } from '../../results-schema/file-schemas.js';
import { publishedSchemas } from '../../results-schema/json-schemas.js';
import { sampleRun } from './sample-run.js';

const bench = {
  date: '20251122-101500',
  endpoint_type: 'openai-chat',
  backend: 'openai-chat',
  label: null,
  model_id: 'Qwen/Qwen3-14B',
  tokenizer_id: 'Qwen/Qwen3-14B',
  num_prompts: 50,
  request_rate: 'inf',
  burstiness: 1,
  max_concurrency: null,
  duration: 25.3,
  completed: 50,
  failed: 0,
  total_input_tokens: 500_002,
  total_output_tokens: 50,
  request_throughput: 1.97,
  request_goodput: null,
  output_throughput: 1.97,
  total_token_throughput: 19_818.4,
  mean_ttft_ms: 13_000.5,
};
const longDoc = {
  query_ttft_per_prompt: 0.148,
  query_round_time_per_prompt: 0.558,
  warmup_round_time_per_prompt: 0.954,
};
const sample = {
  doc_id: 0,
  doc: { question: 'q', answer: 'a' },
  target: '18',
  arguments: { gen_args_0: { arg_0: 'Question: q\nAnswer:', arg_1: { until: ['</s>'], temperature: 0 } } },
  resps: [['18']],
  filtered_resps: ['18'],
  filter: 'strict-match',
  metrics: ['exact_match'],
  doc_hash: 'd',
  prompt_hash: 'p',
  target_hash: 't',
  exact_match: 1,
};

describe('published JSON Schemas', () => {
  const directory = new URL('../../results-schema/json/', import.meta.url);

  it('are up to date (else: npm run schemas)', () => {
    const made = publishedSchemas();
    expect(readdirSync(directory).sort()).toEqual(made.map(({ fileName }) => fileName).sort());
    for (const { fileName, text } of made) {
      expect(readFileSync(new URL(fileName, directory), 'utf8'), fileName).toBe(text);
    }
  });
});

describe('files and their schemas', () => {
  it('accepts what is right', () => {
    expect(validateJson('run.json', sampleRun())).toEqual(sampleRun());
    expect(validateJson('vllm_bench/lmcache.json', bench)).toEqual(bench);
    expect(validateJson('long_doc_qa/baseline_result.json', longDoc)).toEqual(longDoc);
    expect(() =>
      validateText('lm_eval/first_run/m/samples_gsm8k_x.jsonl', `${JSON.stringify(sample)}\n`),
    ).not.toThrow();
    validateText(
      'long_doc_qa/lmcache_query_round.csv',
      'prompt_id,request_start,ttft,request_end,successful,is_miss,ttft_time\n0,0.000301,0.122683,2.726742,True,False,0.122984\n',
    );
  });

  it('keeps keys of newer vllm versions and of --metadata', () => {
    expect(validateJson('vllm_bench/lmcache.json', { ...bench, tp: '2' })).toHaveProperty('tp', '2');
  });

  it.each([
    [
      'NaN throughput',
      'vllm_bench/lmcache.json',
      { ...bench, total_token_throughput: Number.NaN },
      /total_token_throughput/,
    ],
    [
      'infinite throughput',
      'vllm_bench/baseline.json',
      { ...bench, total_token_throughput: 1 / 0 },
      /total_token_throughput/,
    ],
    [
      'a simulation without its speed',
      'vllm_bench/lmcache.json',
      { ...bench, lmcache_ci: { client: 'lmcache-ci', simulated: { profile: 'h200' } } },
      /speed/,
    ],
    ['half a prompt', 'vllm_bench/lmcache.json', { ...bench, completed: 49.5 }, /completed/],
    ['no TTFT', 'long_doc_qa/lmcache_result.json', { ...longDoc, query_ttft_per_prompt: undefined }, /query_ttft/],
    ['a negative TTFT', 'long_doc_qa/lmcache_result.json', { ...longDoc, query_ttft_per_prompt: -1 }, /query_ttft/],
    ['an unknown engine', 'run.json', { ...sampleRun(), engine: 'trt' }, /engine/],
    ['a newer run.json', 'run.json', { ...sampleRun(), schemaVersion: 2 }, /schemaVersion/],
    [
      'a wrong exit code',
      'run.json',
      { ...sampleRun(), verdict: { outcome: 'passed', exitCode: 1, message: '' } },
      /exitCode/,
    ],
    ['no scores', 'lm_eval/first_run/m/results_x.json', {}, /results/],
    ['an anonymous loss', 'orchestrator-lost.json', { at: 'now' }, /buildId/],
  ])('refuses %s', (_, path, value, message) => {
    expect(() => validateJson(path, value)).toThrow(message);
  });

  it('names the line that is wrong', () => {
    const good = JSON.stringify(sample);
    const path = 'lm_eval/second_run/samples_gsm8k_local_x.jsonl';
    expect(() => validateText(path, `${good}\n{"doc_id":1}\n`)).toThrow(/line 2: /);
    expect(() => validateText(path, `${good}\n{"doc_id"`)).toThrow(/line 2: not JSON/);
    const header = 'prompt_id,request_start,ttft,request_end,successful,ttft_time,is_miss\n';
    expect(() => validateText('long_doc_qa/baseline_warmup_round.csv', `${header}0,0,NaN,1,True,0,True\n`)).toThrow(
      /row 1: /,
    );
    expect(() => validateText('long_doc_qa/warmup_round.csv', `${header}0,0\n`)).toThrow(/would not be valid/);
    expect(() => validateText('run.json', '{')).toThrow(/not JSON/);
  });
});
