import { defineSettings, type SettingValues } from '../settings.js';

export const vllmBenchSettings = defineSettings({
  NUM_PROMPTS: { type: 'integer', default: 50, min: 1, unit: 'prompts', description: 'Number of prompts.' },
  RANDOM_INPUT_LEN: { type: 'integer', default: 10_000, min: 1, unit: 'tokens', description: 'Input token length.' },
  RANDOM_OUTPUT_LEN: { type: 'integer', default: 1, min: 1, unit: 'tokens', description: 'Output token length.' },
  RANDOM_SEED: {
    type: 'integer',
    default: null,
    defaultText: '<timestamp>',
    min: 0,
    max: 4_294_967_295,
    description: 'Seed for reproducibility; the same for both servers.',
  },
  MAX_SLOWDOWN_PERCENT: {
    type: 'number',
    default: 5,
    min: 0,
    max: 100,
    unit: '%',
    description: 'How much lower than the baseline the token throughput with LMCache may be.',
  },
  BENCH_CLIENT: {
    type: 'choice',
    choices: ['native', 'vllm'],
    default: 'native',
    description: 'Who measures: our own client, or the real "vllm bench serve".',
  },
});

export type VllmBenchSettingValues = SettingValues<typeof vllmBenchSettings>;
