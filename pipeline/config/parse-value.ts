import { homedir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { reservedOption, splitWords } from '../../engines/argument-words.js';
import type { NumberSetting, SettingDefinition } from '../../steps/settings.js';

export type SettingValue = string | number | boolean;

/** A free port is to be chosen when the run starts. */
export const autoPort = 'auto';

/** What a definition allows, as a phrase: `a number above 0 (s)`. */
export function allowedText(definition: SettingDefinition): string {
  switch (definition.type) {
    case 'integer':
    case 'number':
      return numberText(definition);
    case 'flag':
      return '1 or 0 (true, false)';
    case 'choice':
      return `one of ${definition.choices.join(', ')}`;
    case 'port':
      return 'a port from 1 to 65535, or auto';
    case 'url':
      return 'a URL such as http://127.0.0.1:8000';
    case 'path':
      return 'a path';
    case 'arguments':
      return `arguments with their quotes closed, without ${definition.reserved.join(', ')}`;
    case 'text':
      return definition.patternText ?? 'a text';
  }
}

function numberText(definition: NumberSetting): string {
  const kind = definition.type === 'integer' ? 'a whole number' : 'a number';
  const unit = definition.unit ? ` (${definition.unit})` : '';
  const lower =
    definition.min === undefined
      ? ''
      : definition.exclusiveMin
        ? ` above ${definition.min}`
        : ` of at least ${definition.min}`;
  const upper = definition.max === undefined ? '' : ` and at most ${definition.max}`;
  return `${kind}${lower}${upper}${unit}`;
}

/** The zod schema from the text as given to the typed value. */
export function valueSchema(definition: SettingDefinition): z.ZodType<SettingValue, string> {
  switch (definition.type) {
    case 'integer':
      return bounded(
        z
          .string()
          .regex(/^[+-]?\d+$/)
          .transform(Number),
        definition,
      );
    case 'number':
      return bounded(
        z
          .string()
          .regex(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i)
          .transform(Number),
        definition,
      );
    case 'flag':
      return z.enum(['1', '0', 'true', 'false']).transform((text) => text === '1' || text === 'true');
    case 'choice':
      return z.string().refine((text) => definition.choices.includes(text));
    case 'port':
      return z.union([
        z.literal(autoPort),
        z
          .string()
          .regex(/^\d+$/)
          .transform(Number)
          .refine((port) => port >= 1 && port <= 65535),
      ]);
    case 'url':
      return z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''));
    case 'path':
      return z
        .string()
        .refine((text) => !text.includes('\0'))
        .transform((text) => path.resolve(text.replace(/^~(?=\/|$)/, homedir())));
    case 'arguments':
      return z.string().refine((text) => {
        try {
          return !text.includes('\0') && reservedOption(splitWords(text), definition.reserved) === null;
        } catch {
          return false;
        }
      });
    case 'text':
      return z.string().refine((text) => !text.includes('\0') && (definition.pattern?.test(text) ?? true));
  }
}

function bounded(schema: z.ZodType<number, string>, definition: NumberSetting): z.ZodType<number, string> {
  return schema.refine((value) => {
    if (!Number.isFinite(value)) return false;
    if (definition.type === 'integer' && !Number.isSafeInteger(value)) return false;
    if (definition.max !== undefined && value > definition.max) return false;
    if (definition.min === undefined) return true;
    return definition.exclusiveMin ? value > definition.min : value >= definition.min;
  });
}
