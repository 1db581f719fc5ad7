import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLogGroups } from '../../ci/log-groups.js';

const github = createLogGroups('github-actions');
const buildkite = createLogGroups('buildkite');
const plain = createLogGroups('none');
const anything = fc.string({
  unit: fc.constantFrom('a', ':', '%', '\n', '\r', ',', '#', '[', '-', '+', ' ', '::error::x'),
});

describe('GitHub Actions', () => {
  it('groups', () => {
    expect([...github.start('lm-eval'), ...github.end(false)]).toEqual(['::group::lm-eval', '::endgroup::']);
  });
  it('escapes as the toolkit does', () => {
    expect(github.error('long-doc-qa: a,b', '100%\nslow\r')).toEqual([
      '::error title=long-doc-qa%3A a%2Cb::100%25%0Aslow%0D',
    ]);
    expect(github.warning('x', 'a::b')).toEqual(['::warning title=x::a::b']);
  });
  it.each([['::stop-commands::token'], ['  ::set-output name=x::y'], ['text ##[add-mask]secret']])(
    'takes the power from the line %j',
    (line) => {
      const shown = github.output(line);
      expect(shown.trimStart().startsWith('::')).toBe(false);
      expect(shown).not.toContain('##[');
      expect(shown.replaceAll('\u200b', '')).toBe(line);
    },
  );
  it('leaves ordinary lines alone', () => {
    for (const line of ['INFO: a::b', '', ':', 'x']) expect(github.output(line)).toBe(line);
  });
});

describe('Buildkite', () => {
  it('groups, and opens the group of a failure', () => {
    expect(buildkite.start('lm-eval')).toEqual(['--- lm-eval']);
    expect(buildkite.end(true)).toEqual(['^^^ +++']);
    expect(buildkite.end(false)).toEqual([]);
    expect(buildkite.error('lm-eval: incorrect-output', 'two\nlines')).toEqual([
      'ERROR: lm-eval: incorrect-output: two lines',
    ]);
  });
  it('keeps an engine from opening groups', () => {
    for (const line of ['--- x', '+++ x', '~~~ x', '^^^ +++']) expect(buildkite.output(line)).toBe(` ${line}`);
    expect(buildkite.output('---x')).toBe('---x');
  });
});

describe('no CI', () => {
  it('writes titles', () => {
    expect(plain.start('lm-eval')).toEqual(['=== lm-eval ===']);
    expect(plain.end(true)).toEqual([]);
    expect(plain.output('::error::x')).toBe('::error::x');
  });
});

describe('whatever the text', () => {
  it('each call makes lines, never a line break inside one', () => {
    fc.assert(
      fc.property(anything, anything, (title, message) => {
        for (const groups of [github, buildkite, plain]) {
          for (const line of [
            ...groups.start(title),
            ...groups.error(title, message),
            ...groups.warning(title, message),
          ]) {
            expect(line).not.toMatch(/[\r\n]/);
          }
        }
      }),
    );
  });
  it('GitHub reads back title and message unchanged', () => {
    const decode = (text: string) =>
      text
        .replaceAll('%2C', ',')
        .replaceAll('%3A', ':')
        .replaceAll('%0A', '\n')
        .replaceAll('%0D', '\r')
        .replaceAll('%25', '%');
    fc.assert(
      fc.property(anything, anything, (title, message) => {
        const [line = ''] = github.error(title, message);
        const end = line.indexOf('::', 2);
        expect(decode(line.slice('::error title='.length, end))).toBe(title);
        expect(decode(line.slice(end + 2))).toBe(message);
      }),
    );
  });
});
