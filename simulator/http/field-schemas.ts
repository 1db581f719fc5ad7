import { z } from 'zod';

function isNumeric(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '' && !Number.isNaN(Number(value));
}

/** pydantic's lax mode: numbers also come as strings. */
export const numberField = z.preprocess((value) => (isNumeric(value) ? Number(value) : value), z.number());

export const integerField = z.unknown().transform((value, context) => {
  const number = isNumeric(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number)) return number;
  context.issues.push({ code: 'invalid_type', expected: 'int', input: value });
  return z.NEVER;
});

export const booleanField = z.preprocess(
  (value) => (value === 'true' || value === 1 ? true : value === 'false' || value === 0 ? false : value),
  z.boolean(),
);

/** Token ids. One check for the whole list, which may hold tens of thousands. */
export const tokenIdsField = z.custom<readonly number[]>(
  (value) => Array.isArray(value) && value.every((id) => Number.isInteger(id)),
);
