import { readdir, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { timingsOf } from '../results-schema/own-time.js';
import { readRun } from '../results-schema/read-run.js';
import {
  type FileRecord,
  type RunRecord,
  runRecordSchemaVersion,
  type StepRecord,
} from '../results-schema/run-record.js';
import type { RunVerdict } from '../results-schema/run-verdict.js';
import { packageVersion } from './package-version.js';
import type { Run } from './run.js';
import type { RunIdentity } from './run-identity.js';
import { settingValues } from './run-plan.js';

/** Builds run.json from the run and what its steps came to. */
export async function buildRunRecord(
  run: Run,
  command: readonly string[],
  steps: readonly StepRecord[],
  identity: RunIdentity,
  verdict: RunVerdict | null,
): Promise<RunRecord> {
  const { plan } = run;
  const values = settingValues(plan.settings);
  return {
    schemaVersion: runRecordSchemaVersion,
    buildId: plan.facts.buildId,
    command: [...command],
    engine: plan.facts.engine,
    simulated:
      plan.facts.engine === 'sim'
        ? (identity.simulated ?? { profile: String(values['SIM_PROFILE']), speed: Number(values['SIM_SPEED']) })
        : null,
    runtime: plan.facts.runtime,
    model: String(values['MODEL']),
    image: identity.image,
    settings: plan.settings.map(({ name, value, origin, source, requested }) => ({
      name,
      value,
      origin,
      source,
      requested: requested ?? null,
    })),
    versions: {
      lmcacheCi: packageVersion(),
      node: process.versions.node,
      docker: identity.docker,
      vllm: identity.vllm,
      lmcache: identity.lmcache,
    },
    host: {
      hostname: os.hostname(),
      platform: `${os.platform()} ${os.arch()}`,
      kernel: os.release(),
      cpuModel: os.cpus()[0]?.model ?? 'unknown',
      cpuCount: Math.max(1, os.cpus().length),
      memoryBytes: os.totalmem(),
    },
    gpus: run.fleet.gpus.map((gpu, position) => ({
      ...gpu,
      roles: position === 0 ? ['lmcache', 'vllm'] : ['baseline'],
      after: run.fleet.gpusAfter.get(gpu.uuid) ?? null,
    })),
    startedAt: plan.startedAt.toISOString(),
    endedAt: verdict ? new Date().toISOString() : null,
    steps: [...steps],
    verdict,
    timings: verdict ? timingsOf((await readRun(run.results.root)).events) : null,
    files: verdict ? await listFiles(run.results.root) : [],
  };
}

/** Without run.json itself, which cannot hold its own size, and without what somebody removes meanwhile. */
async function listFiles(root: string): Promise<FileRecord[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(unlessGone([]));
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const full = path.join(entry.parentPath, entry.name);
        const stats = await stat(full).catch(unlessGone(null));
        return stats && { path: path.relative(root, full).split(path.sep).join('/'), bytes: stats.size };
      }),
  );
  const files = found.filter((file) => file !== null);
  return files.filter((file) => file.path !== 'run.json').sort((a, b) => (a.path < b.path ? -1 : 1));
}

function unlessGone<Fallback>(fallback: Fallback): (error: unknown) => Fallback {
  return (error) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return fallback;
    throw error;
  };
}
