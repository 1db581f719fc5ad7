import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type ProfileFile, profileFileSchema } from './profile-schema.js';
import a100 from './profiles/a100.json' with { type: 'json' };
import h100 from './profiles/h100.json' with { type: 'json' };
import h200 from './profiles/h200.json' with { type: 'json' };
import h200BatchInvariant from './profiles/h200-batch-invariant.json' with { type: 'json' };
import l40s from './profiles/l40s.json' with { type: 'json' };

const FILES: readonly { readonly name: string }[] = [h200, h200BatchInvariant, h100, a100, l40s];
const extendingSchema = z.looseObject({ extends: z.string().optional() });

export const profileNames: readonly string[] = FILES.map((file) => file.name);

/** One of the profiles that come with the simulator; undefined when there is none of this name. */
export function builtInProfile(name: string): ProfileFile | undefined {
  const found = FILES.find((file) => file.name === name);
  return found === undefined ? undefined : complete(found, `the profile "${name}"`);
}

/** A profile from a file, as `simulate calibrate` writes it. @throws Error naming file and field. */
export function readProfileFile(path: string): ProfileFile {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot read the profile file "${path}": ${why}`);
  }
  return complete(content, `the profile file "${path}"`);
}

/** A file may hold only what differs from another profile, which `extends` names. */
function complete(content: unknown, where: string): ProfileFile {
  const { extends: base, ...own } = extendingSchema.parse(content);
  const below = base === undefined ? undefined : builtInProfile(base);
  if (base !== undefined && below === undefined) {
    throw new Error(`${where} extends "${base}"; known are ${profileNames.join(', ')}`);
  }
  const parsed = profileFileSchema.safeParse(below === undefined ? own : merged(below, own));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${where}: "${issue?.path.join('.') ?? ''}" is wrong: ${issue?.message ?? 'unknown'}`);
}

function merged(below: unknown, above: unknown): unknown {
  if (!isRecord(below) || !isRecord(above) || 'source' in above) return above;
  const all: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) all[key] = merged(below[key], value);
  return all;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
