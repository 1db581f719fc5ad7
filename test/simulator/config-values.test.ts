import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkConfig, checkSpeculativeConfig } from '../../simulator/config-argument.js';
import { EngineConfigError } from '../../simulator/engine-config-error.js';

const caseSchema = z.tuple([z.string(), z.string(), z.string().nullable()]);
const compressed = readFileSync(new URL('../fixtures/vllm-0.26/config-values.json.gz', import.meta.url));
const { cases } = z.object({ cases: z.array(caseSchema) }).parse(JSON.parse(gunzipSync(compressed).toString()));

function saidOf(className: string, json: string): string | null {
  try {
    checkConfig(className, json);
    return null;
  } catch (error) {
    if (error instanceof EngineConfigError) return `RAISED ${error.kind}: ${error.message}`;
    return error instanceof Error ? error.message : String(error);
  }
}

describe('values in the JSON of flags', () => {
  it('are refused, and taken, as by the configuration classes of vLLM 0.26', () => {
    const wrong = cases.filter(([className, json, message]) => saidOf(className, json) !== message);
    expect(wrong.map(([className, json]) => `${className} ${json}: ${saidOf(className, json)}`)).toEqual([]);
    expect(cases.length).toBe(2085);
  });

  it('of --speculative-config are looked at once the engine is made', () => {
    expect(() => checkSpeculativeConfig({ method: 'ngram', 'num-speculative-tokens': 3 })).not.toThrow();
    for (const [config, message] of [
      [
        { num_speculative_tokens: 0 },
        'Input should be greater than 0 [type=greater_than, input_value=0, input_type=int]',
      ],
      [{ nope: 1 }, 'Unexpected keyword argument'],
      [{ draft_tensor_parallel_size: [] }, 'Input should be a valid integer [type=int_type'],
    ] as const) {
      expect(() => checkSpeculativeConfig(config)).toThrow(message);
    }
  });
});
