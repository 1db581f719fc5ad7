import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { root, measuringTest as test } from '../end-to-end/bench.js';

const shipped = path.join(root, 'tests', 'tests.ts');

/** Debian's Redis, as an administrator installs it. */
function requireRedis(): void {
  const found = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, 'redis-server')));
  if (found) return;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: readonly string[]) => execFileSync('apt-get', [...args], { env, stdio: 'pipe' });
  apt('update', '-qq');
  // Only the programs: no service is started.
  apt('install', '-y', '-qq', '--no-install-recommends', 'redis-server');
}

test('shows what the tiers of LMCache bring, Redis behind sentinels among them', async ({ bench }) => {
  requireRedis();
  const ports = (await findFreePorts(2)).map(String);
  const logs = path.join(bench.directory, 'logs');
  mkdirSync(logs);
  const run = (args: readonly string[], more = {}) =>
    bench.run(['experiments', ...args, '-p', ...ports], { ENGINE_LOG_DIR: logs, SIM_PROFILE: 'l40s', ...more });
  const sentinels = (await findFreePorts(3)).map(String);
  const args = [shipped, '-f', 'vary|redis', '--table', '--sentinel-port', ...sentinels];
  const ended = await run(args);
  expect(ended.code, ended.output).toBe(0);
  expect(ended.stdout).toMatch(/test_lmcache_redis_sentinel .* shown/);
  expect(ended.stdout).toMatch(/test_vary_length_workload .* shown/);
  // Nothing is cached: what was to be shown is not there.
  const without = await run([shipped, '-f', 'vary', '--table'], { SIM_SPEED: '40', SIM_FAULT: 'no-cache' });
  expect(without.code, without.output).toBe(1);
  expect(without.stdout).toContain('NOT SHOWN');
  expect(without.stdout.match(/Measured again, at speed x[12]0\./g)).toHaveLength(2);
});
