import { z } from 'zod';
import { coerced, type PythonType, readType, typeProblems } from '../python-types.js';

const NUMBER = readType('float');
const INTEGER = readType('int');
const BOOLEAN = readType('bool');

/** What pydantic takes for the type, as what it makes of it; others as they are. */
const lax = (type: PythonType) => (value: unknown) =>
  typeProblems(type, value).length === 0 ? coerced(type, value) : value;

export const numberField = z.preprocess(lax(NUMBER), z.number());

export const integerField = z.unknown().transform((value, context) => {
  const number = lax(INTEGER)(value);
  if (typeof number === 'number' && Number.isInteger(number)) return number;
  context.issues.push({ code: 'invalid_type', expected: 'int', input: value });
  return z.NEVER;
});

export const booleanField = z.preprocess(lax(BOOLEAN), z.boolean());

/** Token ids. One check for the whole list, which may hold tens of thousands. */
export const tokenIdsField = z.custom<readonly number[]>(
  (value) => Array.isArray(value) && value.every((id) => Number.isInteger(id)),
);

/** Refuses what does not hold, as a validator that raises Python's ValueError does. */
export function mustHold<T>(holds: (value: T) => boolean, text: string): z.core.CheckFn<T> {
  return (context) => {
    if (holds(context.value)) return;
    context.issues.push({ code: 'custom', message: text, input: context.value, params: { raised: 'ValueError' } });
  };
}

/** Precedes the names of types in a union's message, which is all that an issue keeps of it. */
const NONE_OF = 'none of ';

/** The message of a union that says, for a value of no type, what each of them misses, under pydantic's name of it. */
export function noneOf(...names: readonly string[]): string {
  return NONE_OF + names.join(' ');
}

/** The names of a union's types out of its message; null: it has none. */
export function typeNames(message: string): readonly string[] | null {
  return message.startsWith(NONE_OF) ? message.slice(NONE_OF.length).split(' ') : null;
}
