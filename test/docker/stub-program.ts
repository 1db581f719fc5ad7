import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished, vi } from 'vitest';

/**
 * Puts a program on PATH for the current test, before all others; `source` is the body of a CommonJS module.
 * @returns its directory, which the program knows as `__dirname`.
 */
export async function stubProgram(name: string, source: string): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-stub-'));
  const file = path.join(directory, name);
  await writeFile(file, `#!${process.execPath}\n${source}\n`);
  await chmod(file, 0o755);
  vi.stubEnv('PATH', `${directory}${path.delimiter}${process.env['PATH'] ?? ''}`);
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await rm(directory, { recursive: true, force: true });
  });
  return directory;
}

/** A PATH with nothing on it. */
export async function emptyPath(): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-stub-'));
  vi.stubEnv('PATH', directory);
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await rm(directory, { recursive: true, force: true });
  });
}
