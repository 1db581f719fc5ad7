import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Runs `npm test`'s program on a project of these files, one vitest project a file. */
async function runTests(files: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-run-'));
  for (const folder of ['test', 'pipeline']) mkdirSync(path.join(directory, folder));
  symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  cpSync(path.join(root, 'test', 'run.mjs'), path.join(directory, 'test', 'run.mjs'));
  writeFileSync(path.join(directory, 'pipeline', 'bootstrap.mjs'), 'export function bootstrap() {}\n');
  const names = Object.keys(files);
  const projects = names.map((name) => ({ test: { name, include: [`test/${name}.test.mjs`] } }));
  writeFileSync(
    path.join(directory, 'vitest.config.mjs'),
    `export default { test: { maxWorkers: 1, projects: ${JSON.stringify(projects)} } };\n`,
  );
  for (const [name, text] of Object.entries(files)) {
    const code = `import { afterAll, test } from 'vitest';\n${text}\n`;
    if (text !== '') writeFileSync(path.join(directory, 'test', `${name}.test.mjs`), code);
  }
  const args = [path.join(directory, 'test', 'run.mjs'), ...names];
  const environment = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  return new Promise<{ code: unknown; lastLine: string | undefined; stderr: string }>((resolve) => {
    execFile(process.execPath, args, { env: environment }, (error, stdout, stderr) => {
      rmSync(directory, { recursive: true, force: true });
      resolve({ code: error?.code ?? 0, lastLine: stdout.trimEnd().split('\n').at(-1), stderr });
    });
  });
}

const good = "test('good', () => {});";

describe('the last line of npm test', () => {
  test('sums up its projects', async () => {
    const ended = await runTests({ one: good, two: `${good} test('also', () => {});` });
    expect(ended).toMatchObject({ code: 0, lastLine: '3 passed, 0 failed' });
  });

  test.concurrent.for([
    ['a test that fails', `${good} test('bad', () => { throw new Error('bad'); });`, '1 passed, 1 failed', /bad/],
    ['no test', '', '0 passed, 1 failed', /there was no test/],
    ['a file that does not load', "throw new Error('early');", '0 passed, 1 failed', /could not be loaded/],
    ['a hook that fails', `${good} afterAll(() => { throw 1; });`, '1 passed, 1 failed', /did not end well/],
    [
      'a test that is skipped',
      `${good} test('later', ({ skip }) => skip());`,
      '1 passed, 1 failed',
      /tests that were not run/,
    ],
    [
      'a rejection nobody handles',
      "test('good', () => { Promise.reject(new Error('lost')); });",
      '1 passed, 1 failed',
      /exit code 1/,
    ],
    [
      'a worker that crashes',
      `${good} test('ends', () => { process.kill(process.pid, 'SIGKILL'); });`,
      null,
      /counted as failed/,
    ],
  ] as const)('with %s', async ([, text, line, said]) => {
    const { code, lastLine, stderr } = await runTests({ only: text });
    expect(code, stderr).toBe(1);
    if (line === null) expect(lastLine).toMatch(/^\d+ passed, [1-9]\d* failed$/);
    else expect(lastLine).toBe(line);
    expect(stderr).toMatch(said);
  });
});
