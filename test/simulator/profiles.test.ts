import { describe, expect, it } from 'vitest';
import { loadProfile, profileNames, UnknownProfileError } from '../../simulator/profiles.js';

const MODEL = 'Qwen/Qwen3-14B';

describe('profiles', () => {
  it.each(profileNames)("%s has the recorded KV pool and vLLM's serving defaults", (name) => {
    const profile = loadProfile(name);
    const stepTime = profile.stepTime(MODEL, { connector: false });
    expect(stepTime.kvPoolTokens({ gpuMemoryUtilization: 0.5, tensorParallelSize: 1 })).toBe(266_144);
    expect(stepTime.kvBytesPerToken).toBe(163_840);
    expect([profile.maxNumBatchedTokens, profile.maxNumSeqs, profile.blockTokens]).toEqual([8192, 1024, 16]);
    expect(profile.engineVersion).toBe('0.26.0');
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

  it('slows down under long prefill only', () => {
    expect(prefill(8192, 0, 2)).toBe(prefill(8192, 0));
    expect(prefill(8192, 0, 20) / prefill(8192, 0)).toBeGreaterThan(1.05);
  });

  it('halves, about, on two GPUs', () => {
    const two = loadProfile('h200').stepTime(MODEL, { connector: false, tensorParallelSize: 2 });
    const step = { prefills: [{ newTokens: 8192, contextTokens: 0 }], decodes: [] };
    expect(two.stepSeconds(step) / model.stepSeconds(step)).toSatisfy((ratio: number) => ratio > 0.5 && ratio < 0.6);
  });

  it('charges the API more for different words than for one repeated', () => {
    const distinct = Array.from({ length: 10_000 }, (_, index) => index);
    expect(model.apiSeconds(distinct)).toBeGreaterThan(2 * model.apiSeconds(distinct.map(() => 5)));
    expect(model.apiBusySeconds(10_000)).toBeLessThan(model.apiSeconds(distinct));
  });
});
