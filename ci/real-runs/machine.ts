import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';

const execute = promisify(execFile);
const askLimitMs = 30_000;

/** What nvidia-smi prints; an answer that it could not be asked instead of an error. */
export async function nvidiaSmi(...args: readonly string[]): Promise<string> {
  return execute('nvidia-smi', [...args], { timeout: askLimitMs, maxBuffer: 16 * 2 ** 20 }).then(
    ({ stdout }) => stdout,
    (error: unknown) => `nvidia-smi ${args.join(' ')}: ${error instanceof Error ? error.message : error}\n`,
  );
}

/** Used MiB of each GPU, by index; empty where nvidia-smi does not say. */
export async function usedGpuMemory(): Promise<readonly number[]> {
  const table = await nvidiaSmi('--query-gpu=memory.used', '--format=csv,noheader,nounits');
  return table
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^\d+$/.test(line))
    .map(Number);
}

const eventSchema = z.looseObject({ type: z.string(), t: z.number() });
export type SeenEvent = z.infer<typeof eventSchema>;

/** The events of a run so far; a line that is just being written is left for the next look. */
export async function readEvents(resultsDirectory: string): Promise<readonly SeenEvent[]> {
  const text = await readFile(path.join(resultsDirectory, 'events.jsonl'), 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return whole.flatMap((line) => (line === '' ? [] : [eventSchema.parse(JSON.parse(line))]));
}

const recordSchema = z.looseObject({
  engines: z.record(
    z.string(),
    z.looseObject({ state: z.looseObject({ handle: z.looseObject({ pid: z.number() }).optional() }) }),
  ),
});

/** The process of an engine by the registry's record of its run; null where there is none. */
export function enginePid(registry: string, buildId: string, role: string): number | null {
  const file = path.join(registry, `${buildId}.json`);
  if (!existsSync(file)) return null;
  const record = recordSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  return record.data?.engines[role]?.state.handle?.pid ?? null;
}

/** The registry of live runs of a user with this runtime directory. */
export function registryOf(runtimeDirectory: string | undefined): string {
  return runtimeDirectory ? path.join(runtimeDirectory, 'lmcache-ci') : `/tmp/lmcache-ci-${process.getuid?.() ?? 0}`;
}

/** Holds a port until it is closed, as a stranger would. */
export async function holdPort(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '0.0.0.0', resolve);
  });
  return server;
}

/** @returns false when it did not become true in time */
export async function until(condition: () => Promise<boolean> | boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await delay(100);
  }
}

/** A page of metrics as it is; null where the server does not answer. */
export async function fetchPage(url: string): Promise<string | null> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  return response?.ok ? response.text() : null;
}
