import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { findWriter } from '../../engines/open-files.js';
import { expectSoon, temporaryDirectory } from './engine-rig.js';

it('finds who writes below a directory, not who reads there or writes beside it', async () => {
  const directory = temporaryDirectory();
  const file = path.join(directory, 'results', 'log');
  mkdirSync(path.dirname(file));
  writeFileSync(file, 'x\n');
  const start = (command: string, ...args: string[]) => {
    const child = spawn(command, args, { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child.pid;
  };
  start('tail', '-f', file);
  start('sh', '-c', 'exec 3>"$0"; sleep 305', path.join(directory, 'beside'));
  expect(findWriter(path.join(directory, 'results'))).toBeNull();
  const writer = start('sh', '-c', 'exec 3>>"$0"; sleep 306', file);
  await expectSoon(() => findWriter(path.join(directory, 'results')) !== null, 'found');
  expect(findWriter(path.join(directory, 'results'))).toContain(`process ${writer} (`);
});
