import { baselineDifferenceSettings } from '../baseline-difference.js';
import { defineSettings, type SettingValues } from '../settings.js';

export const lmEvalSettings = defineSettings({
  NUM_CONCURRENT: { type: 'integer', default: 50, min: 1, unit: 'requests', description: 'Concurrent requests.' },
  LIMIT: { type: 'integer', default: 300, min: 1, unit: 'samples', description: 'Number of samples.' },
  LM_EVAL: {
    type: 'choice',
    choices: ['auto', 'lm_eval', 'native'],
    default: 'auto',
    description:
      'Who asks the questions: the real lm_eval, or our own client without Python; auto takes lm_eval where Python is.',
  },
  ...baselineDifferenceSettings,
});

export type LmEvalSettingValues = SettingValues<typeof lmEvalSettings>;
