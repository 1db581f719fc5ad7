import path from 'node:path';
import { describe, expect } from 'vitest';
import { root, test } from './bench.js';

describe('launch, wait, clean up', () => {
  test('again and again in one process leaves nothing behind, within it or outside', async ({ bench }) => {
    const cycles = [process.execPath, path.join(root, 'test', 'chaos', 'cycles.mjs'), '--count', '4'];
    const ended = await bench.startProgram(cycles).ended;
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/^4 cycles on the process runtime .* descriptors throughout/);
    expect(ended.stdout).toContain('nothing left behind');
  });
});
