import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { mergeRequirements, setupVenv, type VenvOptions } from '../../steps/python-venv.js';
import type { OwnedProcessResult } from '../../steps/step.js';

const stampName = '.lmcache-ci-venv.json';

interface Machine {
  /** Version by command; absent: no such program. */
  readonly pythons?: Readonly<Record<string, string>>;
  readonly uv?: boolean;
  /** Answers an installation; default: success. */
  install?(command: readonly string[]): Partial<OwnedProcessResult>;
}

/** A machine of which only programs are faked: directories, stamps and locks are real. */
async function setScene(machine: Machine = {}) {
  const parent = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-venv-test-'));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  const directory = path.join(parent, 'venv');
  const python = path.join(directory, 'bin', 'python');
  const pythons = machine.pythons ?? { python3: '3.11.7' };
  const commands: string[] = [];
  const lines: string[] = [];
  const done = (stdout = ''): OwnedProcessResult => ({
    exitCode: 0,
    signal: null,
    stdout,
    stderr: '',
    timedOut: false,
  });
  const missing = { ...done(), exitCode: null, stderr: 'spawn ENOENT' };
  const makeEnvironment = async () => {
    await mkdir(path.dirname(python), { recursive: true });
    await writeFile(python, '');
    await writeFile(path.join(directory, 'pyvenv.cfg'), '');
    return done();
  };
  const execute = async (command: readonly string[]): Promise<OwnedProcessResult> => {
    const [program = '', ...args] = command;
    commands.push([path.basename(program), ...args].join(' '));
    if (args[0] === '-c') {
      const version = program === python ? (existsSync(python) ? '3.11.7' : undefined) : pythons[program];
      return version === undefined ? missing : done(`/usr/bin/${path.basename(program)}\n${version}\n`);
    }
    if (program === 'uv' && !machine.uv) return missing;
    if (args.includes('venv')) return await makeEnvironment();
    if (args.includes('install')) return { ...done(), ...machine.install?.(command) };
    return done();
  };
  const options = (...packages: string[]): VenvOptions => ({
    directory,
    packages,
    execute,
    progress: { log: (line) => lines.push(line), warn: (line) => lines.push(`warning: ${line}`), update: () => {} },
    signal: new AbortController().signal,
  });
  const stamp = async (): Promise<unknown> => JSON.parse(await readFile(path.join(directory, stampName), 'utf8'));
  return { directory, python, commands, lines, options, stamp };
}

const installs = (commands: readonly string[]) => commands.filter((command) => command.includes('install'));

describe('setupVenv', () => {
  it('makes an environment with python3 and installs through a uv of its own', async () => {
    const scene = await setScene();
    expect(await setupVenv(scene.options('lm_eval==1'))).toEqual({ directory: scene.directory, python: scene.python });
    expect(scene.commands).toContain(`python3 -m venv ${scene.directory}`);
    expect(installs(scene.commands)).toEqual([
      expect.stringMatching(/^python -m pip install .* uv==/),
      `python -m uv pip install --python ${scene.python} lm_eval==1`,
    ]);
    expect(await scene.stamp()).toMatchObject({ state: 'ready', ours: true, packages: ['lm_eval==1'] });
    expect(scene.lines.at(-1)).toMatch(/ready after .* s \(Python 3\.11\.7\)/);
    expect(existsSync(`${scene.directory}.lock`)).toBe(false);
  });

  it('takes the uv on PATH', async () => {
    const scene = await setScene({ uv: true });
    await setupVenv(scene.options('a==1'));
    expect(scene.commands).toContain(`uv venv --allow-existing --python /usr/bin/python3 ${scene.directory}`);
    expect(installs(scene.commands)).toEqual([`uv pip install --python ${scene.python} a==1`]);
  });

  it('makes it once: neither the second caller nor a simultaneous one installs again', async () => {
    const scene = await setScene();
    await Promise.all([setupVenv(scene.options('a==1')), setupVenv(scene.options('a==1'))]);
    const before = installs(scene.commands).length;
    await setupVenv(scene.options('a==1'));
    expect(installs(scene.commands)).toHaveLength(before);
    expect(before).toBe(2);
  });

  it('adds what is missing to what is there', async () => {
    const scene = await setScene({ uv: true });
    await setupVenv(scene.options('a==1'));
    await setupVenv(scene.options('b==2'));
    expect(scene.commands.filter((command) => command.startsWith('uv venv'))).toHaveLength(1);
    expect(installs(scene.commands).at(-1)).toMatch(/ b==2$/);
    expect(await scene.stamp()).toMatchObject({ packages: ['a==1', 'b==2'] });
  });

  it('throws a half-made environment away and makes it again', async () => {
    const scene = await setScene({ uv: true });
    await mkdir(scene.directory);
    await writeFile(path.join(scene.directory, 'half'), '');
    const half = { state: 'building', ours: true, python: '', packages: [] };
    await writeFile(path.join(scene.directory, stampName), JSON.stringify(half));
    await setupVenv(scene.options('a==1'));
    expect(existsSync(path.join(scene.directory, 'half'))).toBe(false);
    expect(await scene.stamp()).toMatchObject({ state: 'ready' });
  });

  it('makes an environment again whose Python has gone', async () => {
    const scene = await setScene({ uv: true });
    await setupVenv(scene.options('a==1'));
    await rm(scene.python);
    await setupVenv(scene.options('a==1'));
    expect(scene.commands.filter((command) => command.startsWith('uv venv'))).toHaveLength(2);
  });

  it("installs into somebody else's environment, and never removes it", async () => {
    const scene = await setScene({ uv: true });
    await mkdir(path.dirname(scene.python), { recursive: true });
    await writeFile(scene.python, '');
    await writeFile(path.join(scene.directory, 'pyvenv.cfg'), '');
    await writeFile(path.join(scene.directory, 'theirs'), '');
    await setupVenv(scene.options('a==1'));
    await setupVenv(scene.options('b==1'));
    expect(existsSync(path.join(scene.directory, 'theirs'))).toBe(true);
    expect(await scene.stamp()).toMatchObject({ ours: false, packages: ['a==1', 'b==1'] });
  });

  it('refuses a directory that is no environment, and leaves it alone', async () => {
    const scene = await setScene();
    await mkdir(scene.directory);
    await writeFile(path.join(scene.directory, 'thesis.tex'), '');
    await expect(setupVenv(scene.options('a==1'))).rejects.toMatchObject({
      reason: 'configuration',
      failureCause: 'bad-value',
      message: expect.stringContaining(scene.directory),
    });
    expect(existsSync(path.join(scene.directory, 'thesis.tex'))).toBe(true);
  });

  it.each([
    ['no Python at all', {}, 'no Python was found'],
    ['only an old one', { python3: '3.8.10' }, '"/usr/bin/python3" (3.8.10)'],
  ])('says what to do when there is %s', async (_, pythons, found) => {
    const scene = await setScene({ pythons });
    const failure = setupVenv(scene.options('a==1'));
    await expect(failure).rejects.toMatchObject({ reason: 'configuration', failureCause: 'tool-missing' });
    await expect(failure).rejects.toThrow(found);
    await expect(failure).rejects.toThrow('Install it (or uv), or set LM_EVAL=native');
    expect(existsSync(`${scene.directory}.lock`)).toBe(false);
  });

  it('takes a newer Python beside an old python3', async () => {
    const scene = await setScene({ pythons: { python3: '3.8.10', 'python3.12': '3.12.1' } });
    await setupVenv(scene.options('a==1'));
    expect(scene.commands).toContain(`python3.12 -m venv ${scene.directory}`);
  });

  it('falls back to pip when uv cannot install', async () => {
    const scene = await setScene({
      install: (command) => (command.includes('uv') ? { exitCode: 1, stderr: 'error sending request' } : {}),
    });
    await setupVenv(scene.options('a==1'));
    expect(installs(scene.commands).at(-1)).toMatch(/^python -m pip install .* a==1$/);
  });

  it.each([
    ['the index cannot be reached', 'Failed to establish a new connection', 'infrastructure', 'tool-missing'],
    ['the disk is full', 'OSError: [Errno 28] No space left on device', 'infrastructure', 'disk'],
    ['there is no such version', 'ERROR: No matching distribution found for a==9', 'configuration', 'bad-value'],
    ['anything else goes wrong', 'Segmentation fault', 'infrastructure', 'tool-missing'],
  ])('says who is to blame when %s', async (_, stderr, reason, failureCause) => {
    const scene = await setScene({ install: () => ({ exitCode: 1, stderr }) });
    await expect(setupVenv(scene.options('a==9'))).rejects.toMatchObject({ reason, failureCause, evidence: [stderr] });
    // What is left is known as half-made.
    expect(await scene.stamp()).toMatchObject({ state: 'building' });
  });
});

describe('mergeRequirements', () => {
  it('replaces a requirement for the same project, however it is spelled', () => {
    expect(mergeRequirements(['lm_eval[api]==0.4.12', 'b'], ['lm-eval==0.4.13'])).toEqual(['b', 'lm-eval==0.4.13']);
  });

  it('says so at once where nothing can be made', async () => {
    const { options } = await setScene();
    for (const directory of ['/proc/lmcache-ci', '/proc/lmcache-ci/deep/venv'])
      await expect(setupVenv({ ...options('lm_eval'), directory })).rejects.toMatchObject({
        reason: 'configuration',
        message: expect.stringMatching(
          new RegExp(`^VENV_DIR "${directory}" cannot be made: E[A-Z]+: .*Choose another VENV_DIR`),
        ),
      });
  });
});
