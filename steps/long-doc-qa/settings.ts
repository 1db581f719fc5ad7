import { baselineDifferenceSettings } from '../baseline-difference.js';
import { defineSettings, type SettingValues } from '../settings.js';

export const longDocQaSettings = defineSettings({
  DOCUMENT_LENGTH: {
    type: 'integer',
    default: 10_000,
    min: 1,
    unit: 'tokens',
    description: 'Document length in tokens.',
  },
  NUM_DOCUMENTS: { type: 'integer', default: 30, min: 1, unit: 'documents', description: 'Number of documents.' },
  OUTPUT_LEN: { type: 'integer', default: 200, min: 1, unit: 'tokens', description: 'Output length.' },
  REPEAT_COUNT: {
    type: 'integer',
    default: 2,
    min: 1,
    description: 'How often the query round asks about each document.',
  },
  REPEAT_MODE: {
    type: 'choice',
    choices: ['random', 'tile', 'interleave'],
    default: 'tile',
    description: 'Order of the repeated documents: shuffled, the list over and over, or each one in a row.',
  },
  SHUFFLE_SEED: { type: 'integer', default: 0, min: 0, description: 'Seed of the shuffle (REPEAT_MODE=random).' },
  MAX_INFLIGHT_REQUESTS: {
    type: 'integer',
    default: 5,
    min: 1,
    unit: 'requests',
    description: 'Long document QA: requests at once.',
  },
  MAX_LMCACHE_TTFT: {
    type: 'number',
    default: 0.22,
    min: 0,
    exclusiveMin: true,
    unit: 's',
    description: 'Max allowed TTFT with LMCache, mean over the query round.',
  },
  MAX_LMCACHE_QUERY_ROUND_TIME: {
    type: 'number',
    default: 0.58,
    min: 0,
    exclusiveMin: true,
    unit: 's',
    description: 'Max allowed query round time with LMCache, per prompt.',
  },
  ...baselineDifferenceSettings,
});

export type LongDocQaSettingValues = SettingValues<typeof longDocQaSettings>;
