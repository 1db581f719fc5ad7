import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FAULTS } from '../../simulator/faults.js';

const page = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8');
const suffix = { flag: '', percent: '=PERCENT', count: '=N', seconds: '=SECONDS' } as const;

describe('docs/simulator.md', () => {
  it.each(Object.entries(FAULTS))('lists the fault %s with its meaning', (name, spec) => {
    const value = 'byDefault' in spec ? `[${suffix[spec.value]}]` : suffix[spec.value];
    expect(page).toContain(`| \`${name}${value}\` | ${spec.meaning} |`);
  });
});
