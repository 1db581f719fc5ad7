import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { contextLength } from '../../simulator/context-length.js';
import { overriddenShape, shapeFromFolder } from '../../simulator/model-config.js';
import { profileNames } from '../../simulator/profile-files.js';
import { loadProfile, UnknownProfileError } from '../../simulator/profiles.js';

const MODEL = 'Qwen/Qwen3-14B';

describe('profiles', () => {
  it.each(['h200', 'h200-batch-invariant'])("%s has the recorded KV pool and vLLM's serving defaults", (name) => {
    const profile = loadProfile(name);
    const stepTime = profile.stepTime(MODEL, { connector: false });
    expect(stepTime.kvPoolTokens({ gpuMemoryUtilization: 0.5, tensorParallelSize: 1 })).toBe(266_144);
    expect(stepTime.kvBytesPerToken).toBe(163_840);
    expect([profile.maxNumBatchedTokens, profile.maxNumSeqs, profile.blockTokens]).toEqual([8192, 1024, 16]);
    expect(profile.engineVersion).toBe('0.26.0');
  });

  it.each(profileNames)('%s is complete, and computes a prompt of 8,000 tokens in 0.2 to 3 s', (name) => {
    const profile = loadProfile(name);
    const seconds = profile
      .stepTime(MODEL, { connector: false })
      .stepSeconds({ prefills: [{ newTokens: 8000, contextTokens: 0 }], decodes: [] });
    expect(seconds).toBeGreaterThan(0.2);
    expect(seconds).toBeLessThan(3);
  });

  it('reads a profile from a file, whole or as what differs from another one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'profile-'));
    try {
      const file = join(folder, 'mine.json');
      const quick = { step: { gemmEfficiency: { value: 0.9, source: 'a wish' } } };
      writeFileSync(file, JSON.stringify({ name: 'mine', extends: 'h200', ...quick }));
      const step = { prefills: [{ newTokens: 8000, contextTokens: 0 }], decodes: [] };
      const secondsOf = (name: string) => loadProfile(name).stepTime(MODEL, { connector: false }).stepSeconds(step);
      expect(loadProfile(file).name).toBe('mine');
      expect(secondsOf(file)).toBeLessThan(secondsOf('h200'));
      writeFileSync(file, '{"extends": "h200", "step": {"gemmEfficiency": {"value": -1, "source": "x"}}}');
      expect(() => loadProfile(file)).toThrow(/"step.gemmEfficiency.value" is wrong/);
      writeFileSync(file, '{"extends": "h20"}');
      expect(() => loadProfile(file)).toThrow(/extends "h20"; known are h200/);
      expect(() => loadProfile(join(folder, 'none.json'))).toThrow(/cannot read the profile file/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("reads a model's shape from the config.json in its folder", () => {
    const folder = mkdtempSync(join(tmpdir(), 'model-'));
    try {
      expect(shapeFromFolder(folder)).toBeNull();
      const config = { num_hidden_layers: 40, num_attention_heads: 40, num_key_value_heads: 8, head_dim: 128 };
      const sizes = {
        hidden_size: 5120,
        intermediate_size: 17_408,
        vocab_size: 151_936,
        max_position_embeddings: 40_960,
      };
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...sizes }));
      const known = loadProfile('h200').model(MODEL);
      const read = shapeFromFolder(folder);
      expect({ ...read, name: MODEL, layerParameters: 0 }).toEqual({ ...known, layerParameters: 0 });
      expect((read?.layerParameters ?? 0) / known.layerParameters).toBeCloseTo(1, 3);
      writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
      expect(() => shapeFromFolder(folder)).toThrow(/"hidden_size"/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  // As vLLM 0.26's ModelConfig derives them for max_position_embeddings 40960.
  it.each<[object, number]>([
    [{}, 40_960],
    [{ max_position_embeddings: 131_072 }, 131_072],
    [{ max_seq_length: 2048 }, 2048],
    [{ model_max_length: 100_000 }, 100_000],
    [{ rope_parameters: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32_768 } }, 131_072],
    [{ rope_scaling: { rope_type: 'yarn', factor: 1.5, original_max_position_embeddings: 32_768 } }, 49_152],
    [{ rope_scaling: { rope_type: 'linear', factor: 2 } }, 81_920],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8, original_max_position_embeddings: 8192 } }, 40_960],
    [{ rope_scaling: {} }, 40_960],
    [{ rope_scaling: null, nope: { a: 1 } }, 40_960],
  ])('derives the longest context with --hf-overrides %j: %i', (overrides, expected) => {
    expect(contextLength({ max_position_embeddings: 40_960 }, { ...overrides })).toBe(expected);
  });

  it('fails as vLLM for overrides of rotary embeddings that lack something', () => {
    expect(() => contextLength({ max_position_embeddings: 1 }, { rope_scaling: { factor: 2 } })).toThrow("'rope_type'");
    expect(() => contextLength({ max_position_embeddings: 1 }, { rope_scaling: { rope_type: 'yarn' } })).toThrow(
      "'original_max_position_embeddings'",
    );
    const file = { max_position_embeddings: 10, rope_scaling: { type: 'linear', factor: 3 } };
    expect(contextLength(file, {})).toBe(30);
    expect(contextLength(file, { rope_scaling: { rope_type: 'dynamic', factor: 2 } })).toBe(20);
  });

  it('makes a known model shorter with --hf-overrides', () => {
    const known = loadProfile('h200').model(MODEL);
    const short = overriddenShape(known, { num_hidden_layers: 4 });
    expect({ ...short, layerParameters: Math.round(short.layerParameters) }).toEqual({
      ...known,
      layers: 4,
      layerParameters: known.layerParameters / 10,
      kvBytesPerToken: known.kvBytesPerToken / 10,
    });
  });

  it('refuses an unknown name, with the known ones', () => {
    expect(() => loadProfile('h20')).toThrow(UnknownProfileError);
    expect(() => loadProfile('h20')).toThrow('unknown profile "h20". Did you mean "h200"? Known profiles: h200,');
    expect(() => loadProfile('tpu')).not.toThrow(/Did you mean/);
  });

  it('knows a model by its shape, whatever its owner or variant', () => {
    const profile = loadProfile('h200');
    expect(profile.model('/models/Qwen3-14B/').name).toBe(MODEL);
    expect(profile.model('mistralai/Mistral-7B-Instruct-v0.3').layers).toBe(32);
    expect(profile.model('meta-llama/Meta-Llama-3.1-70B-Instruct').layers).toBe(80);
    expect(() => profile.model('Qwen/Qwen3-14B-FP8')).toThrow(/no shape of the model "Qwen\/Qwen3-14B-FP8"/);
  });

  it('refuses a GPU too small for the model', () => {
    const stepTime = loadProfile('h200').stepTime('meta-llama/Llama-3.1-70B', { connector: false });
    const pool = { gpuMemoryUtilization: 0.9, tensorParallelSize: 1 };
    expect(() => stepTime.kvPoolTokens(pool)).toThrow(/--gpu-memory-utilization "0.9"/);
    expect(stepTime.kvPoolTokens({ ...pool, tensorParallelSize: 2 })).toBeGreaterThan(100_000);
  });
});

describe('step times', () => {
  const model = loadProfile('h200').stepTime(MODEL, { connector: false });
  const prefill = (newTokens: number, contextTokens: number, sustainedPrefillSeconds = 0) =>
    model.stepSeconds({ prefills: [{ newTokens, contextTokens }], decodes: [], sustainedPrefillSeconds });

  it('takes no time without work', () => {
    expect(model.stepSeconds({ prefills: [], decodes: [] })).toBe(0);
  });

  it('grows with tokens, context and batch', () => {
    expect(prefill(4096, 0)).toBeLessThan(prefill(8192, 0));
    expect(prefill(4096, 0)).toBeLessThan(prefill(4096, 8192));
    const decode = (batch: number, contextTokens: number) =>
      model.stepSeconds({ prefills: [], decodes: Array.from({ length: batch }, () => ({ contextTokens })) });
    expect(decode(1, 2000)).toBeLessThan(decode(5, 2000));
    expect(decode(5, 2000)).toBeLessThan(decode(5, 10_000));
  });

  it('has short contexts wait for a long one beside them, until there are enough to fill the GPU', () => {
    const decode = (contexts: readonly number[]) =>
      model.stepSeconds({ prefills: [], decodes: contexts.map((contextTokens) => ({ contextTokens })) });
    expect(decode([8000, 2000])).toBeCloseTo(decode([8000, 8000]), 9);
    expect(decode([5000, 5000])).toBeLessThan(decode([8000, 2000]));
    // 132 multiprocessors, 8 KV heads: 16.5 sequences.
    const beside = (short: number) => decode([16_000, ...new Array<number>(short).fill(1000)]);
    expect(beside(16) - beside(8)).toBeGreaterThan(8 * (decode([1000, 1000]) - decode([1000])));
    expect(beside(60)).toBeLessThan(decode(new Array<number>(61).fill(16_000)) / 2);
    const batchInvariant = loadProfile('h200-batch-invariant').stepTime(MODEL, { connector: false });
    const unequal = (contexts: readonly number[]) =>
      batchInvariant.stepSeconds({ prefills: [], decodes: contexts.map((contextTokens) => ({ contextTokens })) });
    expect(unequal([8000, 2000])).toBeLessThanOrEqual(unequal([8000, 8000]));
  });

  it('slows down under prefill without a pause, but not where one word is repeated', () => {
    expect(prefill(8192, 0, 20) / prefill(8192, 0)).toBeGreaterThan(1.04);
    expect(prefill(8192, 0, 20)).toBeCloseTo(prefill(8192, 0, 2), 9);
    expect(prefill(1000, 0, 0.1)).toBeCloseTo(prefill(1000, 0), 9);
    const repeated = (sustainedPrefillSeconds: number) =>
      model.stepSeconds({
        prefills: [{ newTokens: 8192, contextTokens: 0, variety: 0 }],
        decodes: [],
        sustainedPrefillSeconds,
      });
    expect(repeated(20)).toBeCloseTo(repeated(0), 9);
    expect(repeated(0) / prefill(8192, 0)).toBeLessThan(0.97);
  });

  it('is bound by the host for few tokens, by more of it where no CUDA graph was captured', () => {
    const small = loadProfile('h200').stepTime('Qwen/Qwen3-8B', { connector: true });
    const seconds = (newTokens: number) =>
      small.stepSeconds({ prefills: [{ newTokens, contextTokens: 0 }], decodes: [] });
    // 36 layers of 1.05 ms, less than what the kernels of 2,000 tokens need.
    expect(seconds(513) - seconds(512)).toBeGreaterThan(0.01);
    expect(seconds(600)).toBeCloseTo(seconds(520), 3);
    expect(seconds(2000)).toBeGreaterThan(1.3 * seconds(600));
    const launch = (newTokens: number) =>
      small.launchSeconds({ prefills: [{ newTokens, contextTokens: 0 }], decodes: [] });
    expect(small.launchSeconds({ prefills: [], decodes: [{ contextTokens: 1 }] })).toBeLessThan(launch(100));
    expect(launch(100)).toBeLessThan(launch(600));
  });

  it('is longer for a few tokens after a long context than after a short one', () => {
    expect(prefill(25, 9984) - prefill(25, 0)).toBeGreaterThan(0.0015);
    expect(prefill(25, 9984) - prefill(25, 0)).toBeLessThan(0.004);
  });

  it.each([
    ['h100', 2.07, 2.54],
    ['a100', 1.24, 1.55],
    ['l40s', 0.61, 0.64],
  ])(
    '%s reads KV as fast as its kernels did, %f TB/s with 4 sequences and %f with 16, and begins once a layer',
    (name, four, sixteen) => {
      const gpu = loadProfile(name).stepTime(MODEL, { connector: false });
      const decode = (batch: number, contextTokens = 8192): number =>
        gpu.stepSeconds({ prefills: [], decodes: new Array<{ contextTokens: number }>(batch).fill({ contextTokens }) });
      const bytes = 8192 * 163_840;
      const twelve = (16 * bytes) / (sixteen * 1e12) - (4 * bytes) / (four * 1e12);
      expect((decode(16) - decode(4)) / twelve).toSatisfy((ratio: number) => ratio > 0.95 && ratio < 1.1);
      // What a kernel begins with is a layer's, and does not grow with the context.
      expect((decode(1) - decode(1, 1)) / (twelve / 12)).toBeLessThan(1.6);
    },
  );

  it('halves, about, on two GPUs', () => {
    const two = loadProfile('h200').stepTime(MODEL, { connector: false, tensorParallelSize: 2 });
    const step = { prefills: [{ newTokens: 8192, contextTokens: 0 }], decodes: [] };
    expect(two.stepSeconds(step) / model.stepSeconds(step)).toSatisfy((ratio: number) => ratio > 0.5 && ratio < 0.65);
  });

  it('pays for the sums that GPUs exchange, by their bytes: 70 billion parameters on four', () => {
    const sized = (name: string, tensorParallelSize: number) =>
      loadProfile('h200').stepTime(name, { connector: false, tensorParallelSize });
    const prompt = { prefills: [{ newTokens: 8192, contextTokens: 0 }], decodes: [] };
    const decode = { prefills: [], decodes: [{ contextTokens: 1000 }] };
    const four = sized('meta-llama/Llama-3.1-70B', 4);
    // Of the four GPUs' peak: published figures of prefill are 0.4 to 0.55 of it; of decoding 14 to 20 ms.
    const share = (2 * 68.45e9 * 8192) / (4 * 989e12) / four.stepSeconds(prompt);
    expect(share).toBeGreaterThan(0.4);
    expect(share).toBeLessThan(0.55);
    expect(four.stepSeconds(decode)).toBeGreaterThan(0.013);
    expect(four.stepSeconds(decode)).toBeLessThan(0.02);
    // A slower link costs a prompt more than a token.
    const slow = loadProfile('l40s').stepTime('meta-llama/Llama-3.1-8B', { connector: false, tensorParallelSize: 2 });
    const one = loadProfile('l40s').stepTime('meta-llama/Llama-3.1-8B', { connector: false });
    expect(slow.stepSeconds(prompt) / one.stepSeconds(prompt)).toBeGreaterThan(0.75);
    expect(slow.stepSeconds(decode) / one.stepSeconds(decode)).toBeLessThan(0.7);
  });

  it.each([
    ['Qwen/Qwen3-0.6B', 0.001, 0.006],
    ['Qwen/Qwen3-8B', 0.005, 0.008],
    ['meta-llama/Llama-3.1-8B', 0.005, 0.008],
    ['Qwen/Qwen3-32B', 0.018, 0.026],
  ])('of %s lie between what its bytes need and what is plausible', (name, least, most) => {
    const seconds = loadProfile('h200')
      .stepTime(name, { connector: false })
      .stepSeconds({ prefills: [], decodes: [{ contextTokens: 1000 }] });
    expect(seconds).toBeGreaterThan(least);
    expect(seconds).toBeLessThan(most);
  });

  it('is longer without CUDA graphs, and shorter where choosing the next step overlaps this one', () => {
    const decodes = [{ contextTokens: 2000 }];
    const secondsWith = (options: { readonly eager?: boolean; readonly asyncScheduling?: boolean }): number =>
      loadProfile('h200')
        .stepTime(MODEL, { connector: false, ...options })
        .stepSeconds({ prefills: [], decodes });
    const usual = secondsWith({});
    expect(secondsWith({ eager: true }) / usual).toBeGreaterThan(1.5);
    expect(usual - secondsWith({ asyncScheduling: true })).toBeCloseTo(0.001, 6);
  });

  it('charges the API more for different words than for one repeated', () => {
    const [different, repeated, ids] = [10_000, 1, null].map((distinct) => model.apiSeconds(10_000, distinct));
    expect(different?.tokenising).toBeGreaterThan(2 * (repeated?.tokenising ?? 0));
    // Ids are read, but not tokenised.
    expect(ids?.tokenising).toBeLessThan(repeated?.tokenising ?? 0);
    expect(ids?.tokenising).toBeGreaterThan(model.apiSeconds(1000, null).tokenising);
    expect(ids?.reading).toBe(different?.reading);
  });
});
