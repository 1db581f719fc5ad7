import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { EngineRole } from '../../engines/launch-spec.js';
import { type LiveRun, liveRunSchema } from '../../engines/live-run.js';
import { waitUntil } from '../../engines/wait-until.js';
import type { Bench } from './bench.js';

/** What the registry says of the bench's run, null when it is not there. */
export function liveRecord(bench: Pick<Bench, 'registryDir' | 'buildId'>): LiveRun | null {
  try {
    return liveRunSchema.parse(JSON.parse(readFileSync(path.join(bench.registryDir, `${bench.buildId}.json`), 'utf8')));
  } catch {
    return null;
  }
}

/** The pid of one of its engines, once it runs. */
export async function enginePid(bench: Pick<Bench, 'registryDir' | 'buildId'>, role: EngineRole): Promise<number> {
  let pid: number | null = null;
  const found = await waitUntil(() => {
    const state = liveRecord(bench)?.engines[role]?.state;
    const handle = state?.status === 'starting' || state?.status === 'ready' ? state.handle : null;
    pid = handle?.kind === 'process' ? handle.pid : null;
    return pid !== null;
  }, 30_000);
  if (!found || pid === null) throw new Error(`the run "${bench.buildId}" has no ${role} engine`);
  return pid;
}
