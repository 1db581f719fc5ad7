import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';

const folder = mkdtempSync(path.join(os.tmpdir(), 'session-test-'));
const standIn = path.join(import.meta.dirname, 'stand-in.mjs');
const outcomesSchema = z.array(
  z.object({ id: z.string(), exitCode: z.number().nullable(), signal: z.string().nullable(), wasCut: z.boolean() }),
);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

beforeAll(async () => {
  const runtime = path.join(folder, 'runtime');
  mkdirSync(runtime);
  vi.stubEnv('XDG_RUNTIME_DIR', runtime);
  for (const name of ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT']) {
    vi.stubEnv(name, String(await freePort()));
  }
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

async function runSession(name: string, skip: readonly string[], budgetSeconds: number) {
  // They read their ports when they are loaded.
  const { runPlan } = await import('../../../ci/real-runs/plan.js');
  const { Session } = await import('../../../ci/real-runs/session.js');
  const directory = path.join(folder, name);
  const session = new Session({
    directory,
    launcher: [process.execPath, standIn],
    budgetSeconds,
    quick: true,
    skip: new Set(skip),
  });
  await runPlan(session);
  const outcomes = outcomesSchema.parse(JSON.parse(readFileSync(path.join(directory, 'outcomes.json'), 'utf8')));
  return { outcomes, progress: readFileSync(path.join(directory, 'progress.log'), 'utf8'), directory };
}

describe('a session of real runs', () => {
  it('does to each run what its name says, and keeps what came of it', async () => {
    const { outcomes, progress, directory } = await runSession('all', ['small', 'default-kernels-warm'], 120);
    const ends = Object.fromEntries(outcomes.map(({ id, exitCode, signal }) => [id, exitCode ?? signal]));
    expect(ends, progress).toEqual({
      'fault-port-taken': 3,
      'fault-second-run': 0,
      'default-kernels': 0,
      'fault-gpu-too-full': 0,
      'fault-port-taken-late': 3,
      'fault-orchestrator-killed': 'SIGKILL',
      'batch-invariant': 0,
      'fault-engine-killed': 3,
      'fault-lmcache-killed': 3,
    });
    expect(progress).toMatch(/fault-engine-killed: SIGKILL to vllm \(\d+\)/);
    expect(progress).toMatch(/fault-lmcache-killed: SIGKILL to lmcache \(\d+\)/);
    expect(progress).toContain('small: left out, as asked for');
    const kept = readFileSync(path.join(directory, 'beside', 'fault-second-run', 'command.txt'), 'utf8');
    expect(kept).toContain('GPU_WAIT_SECONDS=3 BUILD_ID=fault-second-run');
  });

  it('starts nothing whose time is not left', async () => {
    const { outcomes, progress } = await runSession('short', ['fault-port-taken'], 5);
    expect(outcomes.map(({ id }) => id).toSorted()).toEqual(['default-kernels', 'fault-second-run']);
    expect(progress).toMatch(/small: left out, it takes about 15 s and -?\d+ s are left/);
  });
});
