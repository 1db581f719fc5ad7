import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { resultNames } from './file-schemas.js';

export type DirectoryOwner =
  | { readonly kind: 'run'; readonly buildId: string }
  /** Nothing of ours in it; files of others do not disturb. */
  | { readonly kind: 'nobody' }
  /** Files with our names, but none that tells whose run it was. */
  | { readonly kind: 'unknown'; readonly file: string };

const signed = z.object({ buildId: z.string() });

/** Whose results a directory holds, told by run.json, the first event, or orchestrator-lost.json. */
export async function findOwner(root: string): Promise<DirectoryOwner> {
  for (const name of ['run.json', 'events.jsonl', 'orchestrator-lost.json']) {
    const buildId = await signatureOf(join(root, name), name.endsWith('.jsonl'));
    if (buildId !== null) return { kind: 'run', buildId };
  }
  for (const name of resultNames) {
    const file = await firstFile(join(root, name), name);
    if (file !== null) return { kind: 'unknown', file };
  }
  return { kind: 'nobody' };
}

async function signatureOf(path: string, isLines: boolean): Promise<string | null> {
  try {
    const text = await readFile(path, 'utf8');
    const parsed = signed.safeParse(JSON.parse(isLines ? (text.split('\n', 1)[0] ?? '') : text));
    return parsed.success ? parsed.data.buildId : null;
  } catch {
    // Absent or unreadable: another file may tell.
    return null;
  }
}

/** The first file at or below a path; null when there is none. Empty directories of a run that died early count as nothing. */
async function firstFile(path: string, name: string): Promise<string | null> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch((error: unknown) =>
    error instanceof Error && 'code' in error && error.code === 'ENOENT' ? [] : null,
  );
  if (entries === null) return name;
  const file = entries.find((entry) => !entry.isDirectory());
  return file === undefined ? null : `${name}/${file.name}`;
}
