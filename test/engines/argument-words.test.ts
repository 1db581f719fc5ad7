import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reservedOption, splitWords } from '../../engines/argument-words.js';

describe('words of a text', () => {
  it.each<[text: string, words: readonly string[]]>([
    ['', []],
    ['  ', []],
    ['--a  1\t--b\n2', ['--a', '1', '--b', '2']],
    [`--config '{"a": "b c"}'`, ['--config', '{"a": "b c"}']],
    [`"a \\" b" 'c \\ d'`, ['a " b', 'c \\ d']],
    [`x"y z"'w' ''`, ['xy zw', '']],
    ['a\\ b \\$HOME', ['a b', '$HOME']],
    ['$HOME `id` $(id) * ; | &&', ['$HOME', '`id`', '$(id)', '*', ';', '|', '&&']],
  ])('%j', (text, words) => expect(splitWords(text)).toEqual(words));

  it.each(["'open", '"open', 'end\\'])('%j is refused', (text) => expect(() => splitWords(text)).toThrow());

  it('come back as they were, when each is quoted', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
        expect(splitWords(quoted)).toEqual(words);
      }),
    );
  });
});

it('options that the launch decides are found in both spellings', () => {
  expect(reservedOption(['--x', '--port', '1'], ['--port'])).toBe('--port');
  expect(reservedOption(['--port=1'], ['--port'])).toBe('--port');
  expect(reservedOption(['--portal', 'x'], ['--port'])).toBeNull();
});
