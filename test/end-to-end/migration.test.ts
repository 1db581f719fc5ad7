import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { type Bench, type Ended, root, test } from './bench.js';
import { migrationSection } from './migration-page.js';

/** A user's checkout: the commands name files below it, and leave their results in it. */
async function prepare(bench: Bench) {
  const directory = path.join(bench.directory, 'work');
  for (const folder of ['tests', 'examples']) symlinkSync(path.join(root, folder), path.join(directory, folder));
  const logs = path.join(bench.directory, 'logs');
  mkdirSync(logs);
  const ports = (await findFreePorts(2)).map(String);
  const environment = {
    ENGINE_LOG_DIR: logs,
    SIM_SPEED: '100',
    DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock`,
  };
  /** As it stands in the page; quotes are the shell's. */
  const run = (command: string, ...more: readonly string[]): Promise<Ended> => {
    const words = (command.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''));
    expect(words.slice(0, 2)).toEqual(['npx', 'lmcache-ci']);
    return bench.run([...words.slice(2), ...more], environment);
  };
  return { directory, ports, run };
}

function only(commands: readonly string[], pattern: RegExp): string {
  const found = commands.filter((command) => pattern.test(command));
  expect(found, String(pattern)).toHaveLength(1);
  return found[0] ?? '';
}

describe('docs/migration.md, every command of its tables', () => {
  test('for users of lmcache-tests', async ({ bench }) => {
    const { directory, ports, run } = await prepare(bench);
    const commands = migrationSection('lmcache-tests').commands;
    expect(commands).toHaveLength(9);
    expect((await run(only(commands, /doctor/))).code).toBe(3);
    const one = await run(only(commands, /local_cpu/), '-p', ...ports);
    expect([0, 3], one.output).toContain(one.code);
    expect(one.output).not.toContain('FAILED');
    const drawn = await run(only(commands, /process-result/).replace('*.csv', 'test_lmcache_local_cpu.csv'));
    expect(drawn.code, drawn.output).toBe(0);
    expect(readdirSync(path.join(directory, 'outputs'))).toEqual(
      expect.arrayContaining(['test_lmcache_local_cpu.csv', 'test_lmcache_local_cpu.pdf']),
    );
    // The others run what they select; here they only tell what that is.
    const lists = commands.filter((command) => /experiments/.test(command) && !/local_cpu/.test(command));
    const counts = await Promise.all(
      lists.map(async (command) => (await run(command, '-l')).stdout.split('\n').filter(Boolean).length),
    );
    expect(counts).toEqual([16, 16, 2, 16, 16]);
    const improvements = await run(only(commands, /improvements/), '-p', ...ports);
    expect(improvements.code, improvements.output).toBe(0);
  });

  test('for users of the cache benchmark runner', async ({ bench }) => {
    const { directory, run } = await prepare(bench);
    const commands = migrationSection('Benchmark Runner').commands;
    expect(commands).toHaveLength(3);
    const demo = await run(only(commands, /sweep$/));
    expect([0, 3], demo.output).toContain(demo.code);
    expect(demo.stdout).toMatch(/successful: +1\b/);
    for (const command of commands.slice(1)) {
      // Their data sets are made by another command, into the checkout.
      const missing = await run(command);
      expect(missing.code, missing.output).toBe(2);
      expect(missing.output).toContain('cw_logs_5_29_5am_6am.csv');
    }
    expect(readdirSync(directory)).toContain('logs');
  });

  test('for users of the bash suite: each script has its step', () => {
    const { commands } = migrationSection('bash suite');
    const scripts = commands.flatMap((command) => /^npx zx (steps\/.*\.mjs)$/.exec(command)?.[1] ?? []);
    const steps = readdirSync(path.join(root, 'steps')).filter((name) => name.endsWith('.mjs'));
    expect(scripts.sort()).toEqual(steps.map((name) => `steps/${name}`).sort());
    expect(commands[0]).toBe('npm run mp-test');
    const { scripts: npm } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    expect(npm).toHaveProperty('mp-test');
  });
});
