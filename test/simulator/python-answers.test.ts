import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pythonJsonError } from '../../simulator/http/json-error.js';
import { pythonRepr } from '../../simulator/http/python-text.js';
import { StopStringScanner } from '../../simulator/http/stop-strings.js';

describe('pythonRepr', () => {
  it.each([
    [null, 'None'],
    [
      { stream: true, n: 2, temperature: 0.5, stop: ['a', null] },
      "{'stream': True, 'n': 2, 'temperature': 0.5, 'stop': ['a', None]}",
    ],
    ["it's", `"it's"`],
    [`it's "so"`, `'it\\'s "so"'`],
    ['line\nbreak\t\\ \u0001', "'line\\nbreak\\t\\\\ \\x01'"],
    ['äöü', "'äöü'"],
  ])('%j', (value, expected) => {
    expect(pythonRepr(value)).toBe(expected);
  });
});

describe('pythonJsonError', () => {
  // Messages and positions as CPython 3.11 and 3.12 give them.
  it.each([
    ['{"model": "x", ', 'Expecting property name enclosed in double quotes', 15],
    ['{', 'Expecting property name enclosed in double quotes', 1],
    ['{"a" 1}', "Expecting ':' delimiter", 5],
    ['{"a": }', 'Expecting value', 6],
    ['{"a": 1 "b"}', "Expecting ',' delimiter", 8],
    ['[1, 2', "Expecting ',' delimiter", 5],
    ['{"a": "b', 'Unterminated string starting at', 6],
    ['{"a": "\\x"}', 'Invalid \\escape', 7],
    ['{} x', 'Extra data', 3],
    ['nope', 'Expecting value', 0],
    ['"a\nb"', 'Invalid control character at', 2],
  ])('%j', (text, message, position) => {
    expect(pythonJsonError(text)).toEqual({ message, position });
  });
});

describe('StopStringScanner', () => {
  const run = (stops: readonly string[], include: boolean, parts: readonly string[]) => {
    const scanner = new StopStringScanner(stops, include);
    const shown: string[] = [];
    for (const [index, part] of parts.entries()) {
      const { text, stoppedBy } = scanner.push(part, index === parts.length - 1);
      shown.push(text);
      if (stoppedBy !== null) return { shown, stoppedBy };
    }
    return { shown, stoppedBy: null };
  };

  it('passes text through without stop strings', () => {
    expect(run([], false, ['a', 'b'])).toEqual({ shown: ['a', 'b'], stoppedBy: null });
  });

  it('finds a stop string across tokens and shows nothing of it', () => {
    expect(run(['END'], false, ['one E', 'N', 'D two'])).toEqual({ shown: ['one', ' ', ''], stoppedBy: 'END' });
    expect(run(['END'], true, ['one E', 'N', 'D two'])).toEqual({ shown: ['one E', 'N', 'D'], stoppedBy: 'END' });
  });

  it('shows what was held back when no stop string comes', () => {
    expect(run(['END'], false, ['one E', 'N', 'd'])).toEqual({ shown: ['one', ' ', 'ENd'], stoppedBy: null });
  });

  it('shows exactly what precedes the first stop string, however the text is cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 0, maxLength: 5 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(letters, { minLength: 1, maxLength: 8 }), stop, (parts, wanted) => {
        const { shown, stoppedBy } = run([wanted], false, parts);
        const whole = parts.join('');
        const at = whole.indexOf(wanted);
        expect(shown.join('')).toBe(at < 0 ? whole : whole.slice(0, at));
        expect(stoppedBy).toBe(at < 0 ? null : wanted);
      }),
    );
  });
});
