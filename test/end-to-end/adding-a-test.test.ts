import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runRecordSchema } from '../../results-schema/run-record.js';

// The example of docs/adding-a-test.md, taken out of the page, put into a copy of the project and run.

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/adding-a-test.md'), 'utf8');
let scratch: string;
let copy: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'lmcache-ci-guide-'));
  copy = join(scratch, 'project');
  copyProject();
  followTheGuide();
  await makeWheel();
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The code block below the file's name in bold. */
function blockOf(file: string): string {
  const block = page.match(new RegExp(`\\*\\*\`${file}\`\\*\\*\\n\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``))?.[1];
  if (block === undefined) throw new Error(`docs/adding-a-test.md has no block for "${file}"`);
  return block;
}

function copyProject(): void {
  const left = new Set(['.git', 'node_modules', 'dist', '.venv', '.env', 'test', 'bench']);
  mkdirSync(copy);
  for (const name of readdirSync(root).filter((entry) => !left.has(entry))) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  // Linked one by one: what removes the copy's node_modules must not reach ours.
  mkdirSync(join(copy, 'node_modules'));
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.lmcache-ci'))
      symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  }
  const lock = createHash('sha256')
    .update(readFileSync(join(copy, 'package-lock.json')))
    .digest('hex');
  writeFileSync(join(copy, 'node_modules', '.lmcache-ci-install'), lock);
}

function followTheGuide(): void {
  writeFileSync(join(copy, 'steps/run-same-answer.ts'), blockOf('steps/run-same-answer.ts'));
  writeFileSync(join(copy, 'steps/run-same-answer.mjs'), blockOf('steps/run-same-answer.mjs'), { mode: 0o755 });
  const list = readFileSync(join(copy, 'steps/list.ts'), 'utf8');
  const extended = list.replace(/^(?=.*name: 'cleanup')/m, blockOf('steps/list.ts'));
  expect(extended).not.toBe(list);
  writeFileSync(join(copy, 'steps/list.ts'), extended);
}

/** A stand-in for rapidfuzz, so that no package index is needed. */
async function makeWheel(): Promise<void> {
  const wheels = join(scratch, 'wheels');
  const info = 'rapidfuzz-0.0.1.dist-info';
  mkdirSync(join(wheels, 'rapidfuzz'), { recursive: true });
  mkdirSync(join(wheels, info));
  writeFileSync(join(wheels, 'rapidfuzz/__init__.py'), '');
  writeFileSync(
    join(wheels, 'rapidfuzz/fuzz.py'),
    'from difflib import SequenceMatcher\n\ndef ratio(a, b):\n    return 100 * SequenceMatcher(None, a, b).ratio()\n',
  );
  writeFileSync(join(wheels, info, 'METADATA'), 'Metadata-Version: 2.1\nName: rapidfuzz\nVersion: 0.0.1\n');
  writeFileSync(
    join(wheels, info, 'WHEEL'),
    'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  );
  const files = ['rapidfuzz/__init__.py', 'rapidfuzz/fuzz.py', `${info}/METADATA`, `${info}/WHEEL`, `${info}/RECORD`];
  writeFileSync(join(wheels, info, 'RECORD'), files.map((file) => `${file},,\n`).join(''));
  const wheel = 'rapidfuzz-0.0.1-py3-none-any.whl';
  await promisify(execFile)('python3', ['-m', 'zipfile', '-c', wheel, 'rapidfuzz', info], { cwd: wheels });
}

interface Ended {
  readonly code: number;
  readonly output: string;
}

function run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const [program = '', ...args] = command;
  const wheels = join(scratch, 'wheels');
  const runtime = join(scratch, 'runtime');
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      {
        cwd: copy,
        timeout: 150_000,
        maxBuffer: 64 * 1024 * 1024,
        env: {
          PATH: process.env.PATH ?? '',
          HOME: scratch,
          XDG_RUNTIME_DIR: runtime,
          VENV_DIR: join(scratch, 'venv'),
          PIP_NO_INDEX: '1',
          PIP_FIND_LINKS: wheels,
          UV_OFFLINE: '1',
          UV_FIND_LINKS: wheels,
          ENGINE: 'sim',
          VLLM_PORT: 'auto',
          VLLM_BASELINE_PORT: 'auto',
          LMCACHE_PORT: 'auto',
          LMCACHE_HTTP_PORT: 'auto',
          ...environment,
        },
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, output: `${stdout}\n${stderr}` });
      },
    );
  });
}
const commandLine = (...args: string[]) => [process.execPath, 'pipeline/lmcache-ci.mjs', ...args];

function recordIn(directory: string) {
  return runRecordSchema.parse(JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')));
}

/** A vLLM that always gives one answer. */
async function startServer(answer: string): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    request.resume().on('end', () => {
      if (request.url === '/v1/completions') response.end(JSON.stringify({ choices: [{ text: answer }] }));
      else if (request.url === '/v1/models') response.end(JSON.stringify({ data: [{ id: 'Qwen/Qwen3-14B' }] }));
      else if (request.url === '/version') response.end('{"version":"0.26.0"}');
      else response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}`, server };
}

describe('the example of the guide', () => {
  it('compiles, and appears in --help and --only', async () => {
    const help = await run(commandLine('mp-test', '--help'));
    expect(help).toMatchObject({ code: 0, output: expect.stringContaining('--min-similarity') });
    expect(help.output).toContain('Settings of same-answer');
    const typo = await run(commandLine('mp-test', '--only', 'same-anwser'));
    expect(typo).toMatchObject({ code: 2, output: expect.stringContaining('did you mean same-answer?') });
  });

  it('runs in the pipeline, with the engines it needs, and stands in run.json', async () => {
    const results = join(scratch, 'pipeline');
    const ended = await run(commandLine('mp-test', '--only', 'same-answer', '--same-answer-tokens', '16'), {
      RESULTS_DIR: results,
    });
    expect(ended.output).toContain('Similarity of the answers');
    expect(ended.code).toBe(0);
    const record = recordIn(results);
    expect(record.engine).toBe('sim');
    expect(record.settings).toContainEqual(
      expect.objectContaining({ name: 'SAME_ANSWER_TOKENS', value: 16, origin: 'flag' }),
    );
    expect(record.steps.find(({ name }) => name === 'same-answer')?.result).toMatchObject({
      outcome: 'passed',
      verdicts: [{ name: 'similarity', measured: 100 }],
    });
    const answers = JSON.parse(readFileSync(join(results, 'same_answer/answers.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    expect(answers['lmcache']).not.toBe('');
    expect(answers['lmcache']).toBe(answers['baseline']);
  });

  it('runs alone by npx zx, between the other steps', async () => {
    const results = join(scratch, 'alone');
    const zx = (script: string) => run(['npx', 'zx', `steps/${script}.mjs`], { RESULTS_DIR: results });
    try {
      for (const script of ['launch-containers', 'wait-for-vllm', 'run-same-answer']) {
        const ended = await zx(script);
        expect(ended.code, `${script}: ${ended.output}`).toBe(0);
      }
    } finally {
      expect(await zx('cleanup')).toMatchObject({ code: 0 });
    }
    expect(recordIn(results).steps.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['launch-containers', 'wait-for-vllm', 'same-answer', 'cleanup']),
    );
  });

  it('fails when the answers differ, and shows them', async () => {
    const [baseline, vllm] = await Promise.all([startServer('Mercury, Venus'), startServer('Mars')]);
    try {
      const ended = await run(commandLine('mp-test', '--only', 'same-answer'), {
        RESULTS_DIR: join(scratch, 'external'),
        ENGINE: 'vllm',
        RUNTIME: 'external',
        VLLM_URL: vllm.url,
        VLLM_BASELINE_URL: baseline.url,
      });
      expect(ended.output).toContain('baseline: Mercury, Venus');
      expect(ended.output).toContain('LMCache:  Mars');
      expect(ended.code).toBe(1);
    } finally {
      for (const { server } of [baseline, vllm]) {
        server.closeAllConnections();
        server.close();
      }
    }
  });
});
