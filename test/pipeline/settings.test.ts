import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveSettings } from '../../pipeline/config/resolve-settings.js';
import { didYouMean, editDistance } from '../../pipeline/config/suggest.js';
import { commonSettings } from '../../steps/common-settings.js';
import { defineSettings } from '../../steps/settings.js';

const definitions = defineSettings({
  ...commonSettings,
  MAX_LMCACHE_TTFT: { type: 'number', default: 0.22, min: 0, exclusiveMin: true, unit: 's', description: 'x' },
  NUM_PROMPTS: { type: 'integer', default: 50, min: 1, description: 'x' },
  L1_SIZE_GB: { type: 'integer', default: 80, min: 1, aliases: ['CPU_BUFFER_SIZE'], description: 'x' },
  BATCH_INVARIANT: { type: 'flag', default: true, description: 'x' },
  VLLM_URL: { type: 'url', default: null, description: 'x' },
});
const resolvedValue = (sources: Parameters<typeof resolveSettings>[1], name: string) =>
  resolveSettings(definitions, sources).settings.find((setting) => setting.name === name);

describe('precedence', () => {
  it('takes flag, environment, .env, default, in this order, and remembers which', () => {
    const all = { flag: { NUM_PROMPTS: '1' }, environment: { NUM_PROMPTS: '2' }, '.env': { NUM_PROMPTS: '3' } };
    expect(resolvedValue(all, 'NUM_PROMPTS')).toMatchObject({ value: 1, origin: 'flag', source: '--num-prompts' });
    expect(resolvedValue({ ...all, flag: {} }, 'NUM_PROMPTS')).toMatchObject({ value: 2, origin: 'environment' });
    expect(resolvedValue({ '.env': all['.env'] }, 'NUM_PROMPTS')).toMatchObject({ value: 3, origin: '.env' });
    expect(resolvedValue({}, 'NUM_PROMPTS')).toMatchObject({ value: 50, origin: 'default', source: null });
  });

  it('knows an older name, and treats an empty variable as unset', () => {
    expect(resolvedValue({ environment: { CPU_BUFFER_SIZE: '40' } }, 'L1_SIZE_GB')).toMatchObject({
      value: 40,
      source: 'CPU_BUFFER_SIZE',
    });
    expect(resolvedValue({ environment: { NUM_PROMPTS: '' } }, 'NUM_PROMPTS')).toMatchObject({
      value: 50,
      origin: 'default',
    });
  });
});

describe('bad values', () => {
  const messages = (environment: Record<string, string>) =>
    resolveSettings(definitions, { environment }).errors.map(({ message }) => message);

  it.each([
    ['MAX_LMCACHE_TTFT', 'fast', 'a number above 0 (s)'],
    ['MAX_LMCACHE_TTFT', 'NaN', 'a number above 0 (s)'],
    ['MAX_LMCACHE_TTFT', '-0.2', 'a number above 0 (s)'],
    ['MAX_LMCACHE_TTFT', '1e999', 'a number above 0 (s)'],
    ['NUM_PROMPTS', '0', 'a whole number of at least 1'],
    ['NUM_PROMPTS', '2.5', 'a whole number of at least 1'],
    ['VLLM_PORT', '70000', 'a port from 1 to 65535, or auto'],
    ['VLLM_PORT', '0', 'a port from 1 to 65535, or auto'],
    ['ENGINE', 'vlm', 'one of auto, vllm, sim'],
    ['BATCH_INVARIANT', 'yes', '1 or 0 (true, false)'],
    ['VLLM_URL', 'localhost:8000', 'a URL such as http://127.0.0.1:8000'],
    ['BUILD_ID', '../etc', 'a letter or digit'],
    ['MODEL', '--trust-remote-code', 'does not begin with a dash'],
    ['SIM_FAULT', 'crash-after=x', 'no-cache, wrong-text-from-cache, crash-after'],
  ])('%s=%j names variable, value, origin and what is allowed', (name, value, allowed) => {
    const [message = '', ...more] = messages({ [name]: value });
    expect(more).toEqual([]);
    expect(message).toContain(`${name}=${JSON.stringify(value)}`);
    expect(message).toContain('(from the environment)');
    expect(message).toContain(allowed);
  });

  it('are reported all at once', () => {
    expect(messages({ NUM_PROMPTS: 'x', VLLM_PORT: 'y', ENGINE: 'z' })).toHaveLength(3);
  });

  it('never become a value: whatever is typed is either refused or within the limits', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { settings, errors } = resolveSettings(definitions, { flag: { NUM_PROMPTS: text } });
        const value = settings.find(({ name }) => name === 'NUM_PROMPTS')?.value;
        return errors.length === 1 || (Number.isSafeInteger(value) && Number(value) >= 1);
      }),
    );
  });
});

describe('near misses', () => {
  it('names the setting that was probably meant', () => {
    const { nearMisses } = resolveSettings(definitions, {
      environment: { MAX_LMCACHE_TTTF: '0.2', PATH: '/bin', HOME: '/root', MODE: 'x' },
    });
    expect(nearMisses.map(({ message }) => message)).toEqual([
      'MAX_LMCACHE_TTTF (environment) is not a setting and has no effect; did you mean MAX_LMCACHE_TTFT?',
    ]);
  });

  it('measures distance as a metric does', () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(fc.property(word, word, (a, b) => editDistance(a, b) === editDistance(b, a)));
    fc.assert(fc.property(word, (a) => editDistance(a, a) === 0));
    fc.assert(fc.property(word, word, (a, b) => editDistance(a, b) <= Math.max(a.length, b.length)));
  });

  it('suggests nothing for what is far or short', () => {
    expect(didYouMean('banana', ['clean', 'doctor'])).toBeNull();
    expect(didYouMean('ab', ['ac'])).toBeNull();
  });
});
