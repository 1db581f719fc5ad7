import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheSimulationSchema } from '../../results-schema/cache-simulation.js';
import { csvColumnNames } from '../../workloads/traces/csv-columns.js';
import { traceFormats } from '../../workloads/traces/trace.js';

// What docs/traces.md says, done.

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = join(root, 'pipeline/lmcache-ci.mjs');
const page = readFileSync(join(root, 'docs/traces.md'), 'utf8');
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'lmcache-ci-traces-page-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function lmcacheCi(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args], { cwd: directory });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

describe('docs/traces.md', () => {
  it('has commands that work, in their order', async () => {
    for (const [, file = '', text = ''] of page.matchAll(/\*\*`([^`]+)`\*\*\n\n```\w+\n([\s\S]*?)```/g)) {
      writeFileSync(join(directory, file), text);
    }
    const commands = [...page.matchAll(/^npx lmcache-ci (.+)$/gm)].map(([, line = '']) => line.split(' '));
    expect(commands.length).toBeGreaterThan(8);
    for (const command of commands) {
      const { code, stdout, stderr } = await lmcacheCi(...command);
      expect({ command, code, stderr: code === 0 ? '' : stderr }).toEqual({ command, code: 0, stderr: '' });
      expect(stdout).not.toContain('NaN');
    }
    expect(readdirSync(join(directory, 'outputs')).sort()).toEqual([
      'peak-charts',
      'peak.cache-simulation.csv',
      'peak.cache-simulation.json',
      'peak.html',
      'peak.pdf',
    ]);
  });

  it('names every form and every column', () => {
    for (const name of [...traceFormats, ...Object.values(csvColumnNames).flat()])
      expect(page).toContain(`\`${name}\``);
  });

  it('has a program that compiles against what there is', async () => {
    const block = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    writeFileSync(join(directory, 'example.mjs'), block.replaceAll("'lmcache-ci/", `'${root}`));
    const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: directory });
    expect(stdout.trim().split('\n')).toHaveLength(100);
    expect(stdout).toMatch(/^0 null 1$/m);
  });
});

describe('lmcache-ci traces', () => {
  it('leaves nothing behind when it is interrupted', async () => {
    const args = ['traces', 'generate', 'endless.csv', '--requests', '100000000'];
    const child = spawn(process.execPath, [program, ...args], { cwd: directory, stdio: 'ignore' });
    const closed = once(child, 'close');
    const files = () => readdirSync(directory).filter((name) => name.includes('endless'));
    await expect.poll(() => files().length, { timeout: 30_000 }).toBe(1);
    child.kill('SIGTERM');
    expect(await closed).toEqual([143, null]);
    expect(files()).toEqual([]);
  });
});

describe('lmcache-ci cache-simulation', () => {
  it('writes what its schema says, the optimum above all others', async () => {
    const { stdout } = await lmcacheCi('cache-simulation', 'peak.csv', '--sizes', '10,10%,100000tokens', '--json');
    const record = cacheSimulationSchema.parse(JSON.parse(stdout));
    expect(record.curves.map(({ policy }) => policy)).toEqual(['lru', 'fifo', 'conversation', 'belady']);
    const rates = record.curves.map(({ points }) => points.map(({ hitRate }) => hitRate));
    for (const others of rates) {
      for (const [index, rate] of others.entries()) expect(rate).toBeLessThanOrEqual(rates[3]?.[index] ?? 0);
    }
    expect(record.curves[0]?.points.map(({ sizeChunks }) => sizeChunks)).toContain(256);
  });

  it('says all that is wrong at once, and starts nothing', async () => {
    const wrong = ['--policy', 'lru,mru', '--sizes', '0,ten', '--chunk-tokens', '2.5', '--format', 'moon'];
    const { code, stderr } = await lmcacheCi('cache-simulation', 'peak.csv', ...wrong);
    expect(code).toBe(2);
    for (const value of ['"mru"', '"0"', '"ten"', '"2.5"', '"moon"', 'Nothing was started'])
      expect(stderr).toContain(value);
  });

  it.each([
    ['broken.csv', 'time,conversation,input_tokens\n0,a,5\n1,a,x\n', 'line 3, column "input_tokens": "x"'],
    ['broken.lctrace', 'LCTRACE\0', 'ends within its header'],
    ['none.csv', null, 'does not exist'],
  ])('locates what is wrong in %s', async (name, text, message) => {
    if (text !== null) writeFileSync(join(directory, name), text);
    const { code, stderr, stdout } = await lmcacheCi('cache-simulation', name);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const scratch = join(directory, 'scratch');
    await lmcacheCi('traces', 'generate', 'large.csv', '--requests', '300000', '--conversations-per-second', '20');
    await promisify(execFile)('mkdir', [scratch]);
    const args = ['cache-simulation', 'large.csv', '--policy', 'conversation', '--points', '500', '--scratch', scratch];
    const child = spawn(process.execPath, [program, ...args], { cwd: directory, stdio: 'ignore' });
    const closed = once(child, 'close');
    await expect.poll(() => readdirSync(scratch).length, { timeout: 30_000 }).toBe(1);
    child.kill('SIGINT');
    expect(await closed).toEqual([130, null]);
    expect(readdirSync(scratch)).toEqual([]);
  });
});
