import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { type Bench, type Ended, root, test } from './bench.js';
import { migrationSection } from './migration-page.js';

/** A user's checkout: the commands name files below it, and leave their results in it. */
async function prepare(bench: Bench) {
  const directory = path.join(bench.directory, 'work');
  symlinkSync(path.join(root, 'tests'), path.join(directory, 'tests'));
  // Data sets are put beside it.
  cpSync(path.join(root, 'examples', 'sweeps'), path.join(directory, 'examples', 'sweeps'), { recursive: true });
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
    // The others select what takes long: here they tell what that is, and run the shortest of it.
    const others = commands.filter((command) => /experiments/.test(command) && !/local_cpu/.test(command));
    const counts = await Promise.all(
      others.map(async (command) => (await run(command, '-l')).stdout.split('\n').filter(Boolean).length),
    );
    expect(counts).toEqual([16, 16, 2, 16, 16]);
    const shortest = ['-f', 'test_vary_length_workload'];
    const withModel = await run(only(others, / -m /), ...shortest, '-p', ...ports);
    expect([0, 3], withModel.output).toContain(withModel.code);
    const withPorts = only(others, / -p 8000 8001$/).replace('8000 8001', ports.join(' '));
    const elsewhere = await run(withPorts, ...shortest);
    expect([0, 3], elsewhere.output).toContain(elsewhere.code);
    expect(readdirSync(path.join(directory, 'outputs'))).toEqual(
      expect.arrayContaining(['test_vary_length_workload_meta-llama.csv', 'test_vary_length_workload.csv']),
    );
    const followed = path.join(directory, '..', 'logs', `${ports[0]}-stderr.log`);
    expect(readFileSync(followed, 'utf8')).toContain('Application startup complete.');
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
    const [qwen = '', llama = ''] = commands.slice(1);
    const missing = await run(qwen);
    expect(missing.code, missing.output).toBe(2);
    // It says how its data sets are made; the other one has the same.
    const remedies = [...missing.stderr.matchAll(/is made by: (lmcache-ci traces generate .*)$/gm)];
    expect(remedies).toHaveLength(2);
    for (const [, remedy] of remedies) expect(await run(`npx ${remedy}`)).toMatchObject({ code: 0 });
    // They run for hours: here up to the first server.
    const planned = await run(qwen, '--dry-run');
    expect(planned).toMatchObject({ code: 0, stdout: expect.stringContaining('qwen8b: 12 experiments with qwen-8b') });
    const wide = await run(llama, '--dry-run');
    expect(wide).toMatchObject({ code: 0, stdout: expect.stringContaining('llama70b: 8 experiments with llama-70b') });
    expect(wide.stdout).toContain('--pipeline-parallel-size 4');
    expect(readdirSync(directory)).toContain('logs');
  });

  test('for users of the bash suite: each script has its step, and its words are those of its parser', async ({
    bench,
  }) => {
    const { commands } = migrationSection('bash suite');
    const scripts = commands.flatMap((command) => /^npx zx (steps\/.*\.mjs)$/.exec(command)?.[1] ?? []);
    const steps = readdirSync(path.join(root, 'steps')).filter((name) => name.endsWith('.mjs'));
    expect([...scripts].sort()).toEqual(steps.map((name) => `steps/${name}`).sort());
    await Promise.all(
      scripts.map(async (script) => {
        const help = await bench.zx(path.basename(script, '.mjs'), {}, ['--help']);
        expect(help, script).toMatchObject({ code: 0, stdout: expect.stringContaining('lmcache-ci step') });
      }),
    );
    expect(await bench.zx('cleanup', {}, ['--no-such-flag'])).toMatchObject({ code: 2 });
    expect(commands[0]).toBe('npm run mp-test');
    const [npm = '', ...words] = (commands[0] ?? '').split(' ');
    const plan = await bench.startProgram([npm, ...words, '--', '--dry-run'], { directory: root }).ended;
    expect(plan.code, plan.output).toBe(0);
    // What `docker logs` of the page is given.
    expect(plan.stdout).toContain(`vllm-mp-test-${bench.buildId}`);
  });
});
