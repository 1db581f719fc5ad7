import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecretMask } from '../../results-schema/secrets.js';
import { failureCauseSchema } from '../../results-schema/step-result.js';

function maskOf(environment: Record<string, string>): SecretMask {
  const mask = new SecretMask();
  mask.learnEnvironment(environment);
  return mask;
}

describe('what counts as a secret', () => {
  it.each(['HF_TOKEN', 'OPENAI_API_KEY', 'MY_SECRET_THING', 'db_password', 'AWS_ACCESS_KEY_ID', 'KEY', 'TOKENS'])(
    'the value of %s',
    (name) => {
      expect(maskOf({ [name]: 's3cret value' }).hide('it is "s3cret value".')).toBe('it is "***".');
    },
  );

  it.each([
    ['a variable of another name', { MODEL: 'Qwen/Qwen3-14B' }],
    ['the place of a secret', { HF_TOKEN_PATH: '/run/secrets/token', SSH_KEY_FILE: '/root/.ssh/id' }],
    ['what would be found everywhere', { MAX_TOKENS: '4096', USE_KEY: '1', A_TOKEN: 'x', KEY: 'auto', B_KEY: 'true' }],
    ['our own words, without which no file of ours could be read', { A_KEY: 'docker', B_KEY: 'infra', C_KEY: 'sim' }],
  ])('not %s', (_, environment) => {
    const text = 'Qwen/Qwen3-14B /run/secrets/token /root/.ssh/id 4096 1 x auto true docker infrastructure sim';
    expect(maskOf(environment).hide(text)).toBe(text);
  });

  it('the content of a token file, and nothing of one that cannot be read', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-secrets-'));
    try {
      const file = path.join(directory, 'token');
      writeFileSync(file, 'hf_abcdef\n');
      const mask = new SecretMask();
      mask.learnFile(file);
      mask.learnFile(path.join(directory, 'absent'));
      expect(mask.hide('Bearer hf_abcdef')).toBe('Bearer ***');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('how it is hidden', () => {
  it('each line of a key of several lines', () => {
    const mask = maskOf({ PRIVATE_KEY: '-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----' });
    expect(mask.hide('> MIIEpAIBAAKCAQEA')).toBe('> ***');
  });

  it('also as it stands in JSON and in a URL', () => {
    const mask = maskOf({ PASSWORD: 'a"b c/d' });
    expect(mask.hide(JSON.stringify({ p: 'a"b c/d' }))).toBe('{"p":"***"}');
    expect(mask.hide(`?p=${encodeURIComponent('a"b c/d')}`)).toBe('?p=***');
  });

  it('user and password of any URL, whatever they are called', () => {
    expect(new SecretMask().hide('GET http://me:pw@host:8000/v1, http://host:8000')).toBe(
      'GET http://***@host:8000/v1, http://host:8000',
    );
  });

  it('the longer of two, where one begins with the other', () => {
    expect(maskOf({ A_KEY: 'abcd', B_KEY: 'abcdefgh' }).hide('abcdefgh abcd')).toBe('*** ***');
  });

  it('in the texts of a JSON value, whose shape and other values stay', () => {
    const mask = maskOf({ A_TOKEN: 'hf_abcdef' });
    expect(mask.hideIn({ a: ['hf_abcdef', 1, null, true], b: { c: 'x hf_abcdef' } })).toEqual({
      a: ['***', 1, null, true],
      b: { c: 'x ***' },
    });
  });

  it('never lets a secret through, whatever characters it has', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8, maxLength: 40 }), fc.string(), fc.string(), (secret, before, after) => {
        const value = secret.trim();
        fc.pre(value.length >= 8 && !'***'.includes(value) && !/^[\d.+-]*$/.test(value));
        fc.pre(!failureCauseSchema.options.some((word) => word.includes(value)));
        expect(maskOf({ THE_TOKEN: secret }).hide(`${before}|${value}|${after}`)).toContain('|***|');
      }),
    );
  });
});
