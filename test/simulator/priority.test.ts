import { readdirSync, readFileSync } from 'node:fs';
import { constants, getPriority } from 'node:os';
import { describe, expect, it } from 'vitest';
import { putMainThreadFirst } from '../../simulator/priority.js';

/** proc_pid_stat(5): the nineteenth field; the second, a name in parentheses, may hold blanks. */
function nicenessOf(thread: number): number {
  const fields = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[16]);
}

describe('putMainThreadFirst', () => {
  it.runIf(process.platform === 'linux')("gives V8's threads the lowest priority, and the main one its own", () => {
    const before = getPriority();
    putMainThreadFirst();
    expect(getPriority()).toBe(before);
    const others = readdirSync('/proc/self/task').map(Number);
    expect(others.length).toBeGreaterThan(4);
    for (const thread of others) {
      expect(nicenessOf(thread)).toBe(thread === process.pid ? before : constants.priority.PRIORITY_LOW);
    }
  });
});
