import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type RunEvent, runEventSchema } from './events.js';
import { type OrchestratorLost, orchestratorLostSchema } from './orchestrator-lost.js';
import { type RunRecord, runRecordSchema } from './run-record.js';

/** What a results directory tells about its run. */
export interface StoredRun {
  readonly root: string;
  /** null when run.json is absent or invalid. */
  readonly record: RunRecord | null;
  readonly events: readonly RunEvent[];
  /** Present when the keeper had to clean up after a vanished orchestrator. */
  readonly orchestratorLost: OrchestratorLost | null;
  /** Files that exist but cannot be read as what they should be, each with why. Never silent, never fatal. */
  readonly problems: readonly string[];
}

/** Reads a run's own files, also those of a run that is still going on or ended in the middle of a line. */
export async function readRun(root: string): Promise<StoredRun> {
  const problems: string[] = [];
  const record = await readJson(root, 'run.json', runRecordSchema, problems);
  const orchestratorLost = await readJson(root, 'orchestrator-lost.json', orchestratorLostSchema, problems);
  const events: RunEvent[] = [];
  const lines = ((await readText(root, 'events.jsonl', problems)) ?? '').split('\n');
  for (const [index, line] of lines.entries()) {
    // Without its newline the last line may be half written: not an event yet.
    if (line === '' || index === lines.length - 1) continue;
    const parsed = parseAs(runEventSchema, line);
    if (parsed.success) events.push(parsed.data);
    else problems.push(`events.jsonl line ${index + 1}: ${parsed.why}`);
  }
  return { root, record, events, orchestratorLost, problems };
}

async function readJson<Schema extends z.ZodType>(
  root: string,
  name: string,
  schema: Schema,
  problems: string[],
): Promise<z.infer<Schema> | null> {
  const text = await readText(root, name, problems);
  if (text === null) return null;
  const parsed = parseAs(schema, text);
  if (parsed.success) return parsed.data;
  problems.push(`${name}: ${parsed.why}`);
  return null;
}

async function readText(root: string, name: string, problems: string[]): Promise<string | null> {
  try {
    return await readFile(join(root, name), 'utf8');
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!absent) problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

function parseAs<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
): { readonly success: true; readonly data: z.infer<Schema> } | { readonly success: false; readonly why: string } {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? parsed : { success: false, why: z.prettifyError(parsed.error) };
  } catch (error) {
    return { success: false, why: error instanceof Error ? error.message : String(error) };
  }
}
