import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import {
  identifyProcess,
  identifySelf,
  isProcessAlive,
  listProcesses,
  parseProcessStat,
  readCommandLine,
  readProcessEnvironment,
  readProcessStat,
} from '../../engines/process-identity.js';
import { expectSoon } from './engine-rig.js';

describe('parseProcessStat', () => {
  const rest = 'S 17 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2 18446744073709551615';

  it('reads state, parent, group and start time', () => {
    expect(parseProcessStat(`4711 (node) ${rest}`)).toEqual({
      pid: 4711,
      state: 'S',
      parentPid: 17,
      processGroup: 42,
      startTime: 987654,
    });
  });

  it('is not misled by spaces and parentheses in the command', () => {
    expect(parseProcessStat(`4711 (a) Z 1 (b) c) ${rest}`)?.startTime).toBe(987654);
  });

  it.each(['', 'nonsense', '12', '12 (x)', '12 (x) S'])('refuses %j', (line) => {
    expect(parseProcessStat(line)).toBeNull();
  });
});

describe('a process is known by pid and start time', () => {
  it('finds itself alive, and not under another start time', () => {
    const self = identifySelf();
    expect(isProcessAlive(self)).toBe(true);
    expect(isProcessAlive({ ...self, startTime: self.startTime + 1 })).toBe(false);
    expect(identifyProcess(0)).toBeNull();
    expect(readCommandLine(process.pid)).toContain('node');
    expect(readProcessEnvironment(process.pid)?.get('PATH')).toBe(process.env['PATH']);
  });

  it('counts a zombie as dead', async () => {
    // The shell becomes `sleep`, which never asks for its child's end; the child ends only then.
    const script = 'read line <&3 & echo $!; exec sleep 60';
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] });
    try {
      if (!parent.stdout) throw new Error('no pipe');
      const [line] = await once(createInterface({ input: parent.stdout }), 'line');
      const pid = Number(line);
      await expectSoon(() => readCommandLine(parent.pid ?? 0) === 'sleep 60', 'the shell has become sleep');
      expect(readProcessStat(pid)?.state).not.toBe('Z');
      parent.stdio[3]?.destroy();
      await expectSoon(() => readProcessStat(pid)?.state === 'Z', 'a zombie');
      const identity = identifyProcess(pid);
      expect(identity).not.toBeNull();
      expect(identity && isProcessAlive(identity)).toBe(false);
      expect(listProcesses().some((stat) => stat.pid === pid)).toBe(false);
    } finally {
      parent.kill('SIGKILL');
    }
  });
});
