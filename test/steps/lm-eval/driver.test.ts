import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type DriverOptions, startDriver } from '../../../steps/lm-eval/driver.js';
import type { OwnedProcessResult } from '../../../steps/step.js';

interface Scene {
  /** What the other side does with a job; default: exit code 0. */
  onJob?(job: { argv: string[]; log: string }, socket: Socket): void;
  /** Ends at once, as Python does when it cannot import. */
  readonly diesWith?: Partial<OwnedProcessResult>;
}

/** Plays driver.py in this process, over the real socket. */
async function setScene({ onJob, diesWith }: Scene = {}) {
  const calls: { command: readonly string[]; environment: Readonly<Record<string, string>> }[] = [];
  const abort = new AbortController();
  const execute: DriverOptions['execute'] = (command, options) => {
    calls.push({ command, environment: options?.environment ?? {} });
    const ended = { exitCode: 0, signal: null, stdout: '', stderr: '', timedOut: false };
    if (diesWith !== undefined) {
      return Promise.resolve({ ...ended, ...diesWith });
    }
    return new Promise((resolve, reject) => {
      const socket = createConnection(command[2] ?? '');
      socket.on('close', () => resolve(ended));
      socket.on('error', reject);
      abort.signal.addEventListener('abort', () => {
        socket.destroy();
        reject(abort.signal.reason);
      });
      socket.write('{"ready": true}\n');
      createInterface({ input: socket }).on('line', (line) => {
        const job = JSON.parse(line);
        if (onJob === undefined) socket.write('{"exit_code": 0}\n');
        else onJob(job, socket);
      });
    });
  };
  const driver = await startDriver({
    venv: { directory: '/venv', python: '/venv/bin/python' },
    execute,
    signal: abort.signal,
    environment: { HF_HUB_OFFLINE: '1' },
    keepDatasets: false,
    workingDirectory: os.tmpdir(),
    directory: await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-lm-eval-')),
    logPath: '/logs/python.log',
  });
  onTestFinished(() => driver.close());
  return { driver, calls, abort };
}

describe('startDriver', () => {
  it('starts Python once and runs one job after the other', async () => {
    const jobs: string[] = [];
    const { driver, calls } = await setScene({
      onJob: ({ argv, log }, socket) => {
        jobs.push(`${argv.join(' ')} > ${log}`);
        socket.write(`{"exit_code": ${jobs.length - 1}}\n`);
      },
    });
    await driver.ready();
    expect(await driver.run(['--tasks', 'a'], '/logs/a')).toBe(0);
    expect(await driver.run(['--tasks', 'b'], '/logs/b')).toBe(1);
    expect(jobs).toEqual(['--tasks a > /logs/a', '--tasks b > /logs/b']);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.command[0]).toBe('/venv/bin/python');
    expect(path.basename(calls[0]?.command[1] ?? '')).toBe('driver.py');
    expect(existsSync(calls[0]?.command[1] ?? '')).toBe(true);
  });

  it('keeps prepared data sets where they end with it, and removes all it made', async () => {
    const { driver, calls } = await setScene();
    await driver.ready();
    const socket = calls[0]?.command[2] ?? '';
    expect(calls[0]?.environment).toMatchObject({
      HF_HUB_OFFLINE: '1',
      HF_DATASETS_CACHE: path.join(path.dirname(socket), 'datasets'),
    });
    expect(existsSync(socket)).toBe(true);
    await driver.close();
    expect(existsSync(path.dirname(socket))).toBe(false);
  });

  it('says why Python ended, to whoever waits for it', async () => {
    const { driver } = await setScene({
      diesWith: { exitCode: 1, stderr: "ModuleNotFoundError: No module named 'x'" },
    });
    const failure = { reason: 'infrastructure', failureCause: 'tool-missing' };
    await expect(driver.ready()).rejects.toMatchObject(failure);
    await expect(driver.run([], '/logs/a')).rejects.toMatchObject({
      ...failure,
      message: expect.stringContaining('/logs/python.log'),
      evidence: ["ModuleNotFoundError: No module named 'x'"],
    });
  });

  it('fails the job during which Python dies', async () => {
    const { driver } = await setScene({ onJob: (_, socket) => socket.destroy() });
    await expect(driver.run([], '/logs/a')).rejects.toMatchObject({ failureCause: 'tool-missing' });
  });

  it('ends with the reason of the signal', async () => {
    const { driver, abort } = await setScene({ onJob: () => abort.abort(new Error('Ctrl-C')) });
    await expect(driver.run([], '/logs/a')).rejects.toThrow('Ctrl-C');
  });
});
