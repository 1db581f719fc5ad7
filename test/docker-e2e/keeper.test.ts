import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { listByLabel } from '../../docker/labelled-containers.js';
import { cleanLeftovers } from '../../engines/clean.js';
import { openRegistry } from '../../engines/registry.js';
import { buildIdLabel, registryLabel } from '../../engines/run-labels.js';
import { orchestratorLostSchema } from '../../results-schema/orchestrator-lost.js';
import { expectSoon, isGone, startJsonChild, temporaryDirectory } from '../engines/engine-rig.js';
import { dockerBench } from './support.js';

const bench = dockerBench();
const listens = "console.log('alive'); setInterval(() => {}, 1000); process.on('SIGTERM', () => process.exit(0))";
const stubborn = "console.log('alive'); setInterval(() => {}, 1000); process.on('SIGTERM', () => {})";

/** Two containers of a run whose orchestrator is a process of its own. */
async function orchestrate() {
  const root = temporaryDirectory();
  const registry = openRegistry(path.join(root, 'registry'));
  const resultsDir = path.join(root, 'results');
  const buildId = bench.name('run');
  const specs = [bench.spec('obeys', listens), { ...bench.spec('stubborn', stubborn), role: 'baseline' as const }];
  const fleet = {
    buildId,
    engine: 'sim',
    runtime: 'docker',
    resultsDir,
    ports: { vllm: 1, baseline: 2, lmcache: 3, lmcacheHttp: 4 },
    settings: {},
    registryDir: registry.directory,
  };
  const orchestrator = startJsonChild('orchestrator.mjs', [JSON.stringify({ fleet, specs, after: 'wait' })]);
  expect(await orchestrator.next()).toMatchObject({ ready: true });
  for (const { name } of specs) {
    const log = path.join(resultsDir, 'logs', `${name}.log`);
    await expect.poll(() => readFileSync(log, 'utf8'), { timeout: 20_000 }).toContain('alive');
  }
  const keeperPid = registry.read(buildId)?.keeper?.pid ?? 0;
  const containers = () => listByLabel(bench.host, { [buildIdLabel]: buildId, [registryLabel]: registry.name });
  expect(await containers()).toHaveLength(2);
  return { orchestrator, registry, resultsDir, buildId, keeperPid, containers };
}

describe('the containers of a run', () => {
  test('are gone within 5 s when its orchestrator is killed, also one that ignores SIGTERM', async () => {
    const run = await orchestrate();
    const killedAt = performance.now();
    process.kill(run.orchestrator.pid, 'SIGKILL');
    await expectSoon(() => isGone(run.keeperPid), 'the keeper has ended', 10_000);
    expect(performance.now() - killedAt).toBeLessThan(5000);
    expect(await run.containers()).toEqual([]);
    const note = orchestratorLostSchema.parse(
      JSON.parse(readFileSync(path.join(run.resultsDir, 'orchestrator-lost.json'), 'utf8')),
    );
    expect([...note.removed].sort()).toEqual([bench.name('obeys'), bench.name('stubborn')]);
    expect(note).toMatchObject({ forced: [bench.name('stubborn')], problems: [] });
    expect(run.registry.list().dead).toEqual([]);
  });

  test('are found by their labels when keeper and orchestrator are both killed', async () => {
    const run = await orchestrate();
    process.kill(run.keeperPid, 'SIGKILL');
    process.kill(run.orchestrator.pid, 'SIGKILL');
    await expectSoon(() => isGone(run.keeperPid) && isGone(run.orchestrator.pid), 'both are gone');
    expect(run.registry.list().dead.map((dead) => dead.buildId)).toEqual([run.buildId]);
    const registryDir = run.registry.directory;
    const plan = await cleanLeftovers({ dryRun: true, olderThanMs: 0, registryDir });
    expect(plan.removed).toEqual(
      expect.arrayContaining([`container ${bench.name('obeys')}`, `container ${bench.name('stubborn')}`]),
    );
    expect(await run.containers()).toHaveLength(2);
    const report = await cleanLeftovers({ dryRun: false, olderThanMs: 0, registryDir });
    expect(report).toMatchObject({ forced: [`container ${bench.name('stubborn')}`], problems: [] });
    expect(await run.containers()).toEqual([]);
    expect(run.registry.list().dead).toEqual([]);
  });
});
