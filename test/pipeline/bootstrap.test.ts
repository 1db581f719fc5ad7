import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const bootstrap = fileURLToPath(new URL('../../pipeline/bootstrap.mjs', import.meta.url));

let directory: string;
let checkout: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-bootstrap-'));
  checkout = path.join(directory, 'checkout');
  write('package-lock.json', '{}');
  write('tsconfig.json', '{"include": ["pipeline/**/*.ts"]}');
  write('pipeline/cli.ts', 'first version');
  write(
    'main.mjs',
    "import { runCommandLine } from './pipeline/bootstrap.mjs';\nawait runCommandLine(process.argv.slice(2));\n",
  );
  cpSync(bootstrap, path.join(checkout, 'pipeline', 'bootstrap.mjs'));
  mkdirSync(path.join(directory, 'tmp'));
  // An npm that installs a compiler, which compiles a command line; both note that they were called.
  program(
    'npm',
    `echo npm "$@" >>"${directory}/calls"
[ ! -e "${directory}/npm-fails" ] || { echo 'npm ERR! no such version' >&2; exit 1; }
mkdir -p node_modules/typescript/bin
cp "${directory}/tsc" node_modules/typescript/bin/tsc`,
  );
  writeFileSync(
    path.join(directory, 'tsc'),
    `
const fs = require('fs');
fs.appendFileSync('${directory}/calls', 'tsc\\n');
const source = fs.readFileSync('pipeline/cli.ts', 'utf8');
if (source === 'wrong') { console.log('pipeline/cli.ts(1,1): error TS1434'); process.exit(2); }
fs.mkdirSync('dist/pipeline', { recursive: true });
fs.writeFileSync('dist/package.json', '{"type": "module"}');
fs.writeFileSync('dist/pipeline/cli.js', 'export const main = (args) => console.log(' + JSON.stringify(source) + ', ...args);');
`,
  );
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(checkout, file)), { recursive: true });
  writeFileSync(path.join(checkout, file), text);
}

function program(name: string, body: string): void {
  const file = path.join(directory, 'bin', name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

const calls = () =>
  existsSync(path.join(directory, 'calls'))
    ? readFileSync(path.join(directory, 'calls'), 'utf8').trim().split('\n')
    : [];
const install = 'npm ci --ignore-scripts --include=dev --no-audit --no-fund --loglevel=error';

/** Runs the fake checkout's command line, standard input closed. */
function run(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(process.execPath, [path.join(checkout, 'main.mjs'), ...args], {
      cwd: directory,
      env: {
        PATH: `${path.join(directory, 'bin')}${path.delimiter}${process.env.PATH ?? ''}`,
        TMPDIR: path.join(directory, 'tmp'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        said[name] += text;
      });
    child.once('close', (code) => {
      // Whatever happened, the lock is gone.
      expect(readdirSync(path.join(directory, 'tmp')).filter((name) => name.endsWith('.lock'))).toEqual([]);
      resolve({ code, ...said });
    });
  });
}

describe('a fresh clone', () => {
  it('is installed and compiled once, then runs at once', async () => {
    const first = await run('mp-test', '--dry-run');
    expect(first).toMatchObject({ code: 0, stdout: 'first version mp-test --dry-run\n' });
    expect(first.stderr).toMatch(
      /installing the locked dependencies[\s\S]*dependencies installed in [\s\S]*compiled in/,
    );
    expect(await run('mp-test')).toEqual({ code: 0, stdout: 'first version mp-test\n', stderr: '' });
    expect(calls()).toEqual([install, 'tsc']);
  });

  it('is compiled again when a source changes, and installed again when the lock file does', async () => {
    await run();
    write('pipeline/cli.ts', 'second version');
    expect(await run()).toMatchObject({ code: 0, stdout: 'second version\n' });
    write('package-lock.json', '{"lockfileVersion": 3}');
    await run();
    expect(calls()).toEqual([install, 'tsc', 'tsc', install]);
  });

  it('is set up by the command that npx starts in it: npx itself links it and installs nothing', () => {
    write(
      'package.json',
      JSON.stringify({
        name: 'fake-ci',
        version: '1.0.0',
        bin: 'main.mjs',
        scripts: { prepare: 'node pipeline/prepare.mjs' },
      }),
    );
    write('main.mjs', `#!/usr/bin/env node\n${readFileSync(path.join(checkout, 'main.mjs'), 'utf8')}`);
    cpSync(path.join(path.dirname(bootstrap), 'prepare.mjs'), path.join(checkout, 'pipeline', 'prepare.mjs'));
    const npx = spawnSync('npx', ['--yes', '--offline', 'fake-ci', 'mp-test'], {
      cwd: checkout,
      env: {
        PATH: `${path.join(directory, 'bin')}${path.delimiter}${process.env.PATH ?? ''}`,
        HOME: directory,
        TMPDIR: path.join(directory, 'tmp'),
      },
      encoding: 'utf8',
    });
    expect(npx, npx.stderr).toMatchObject({ status: 0, stdout: 'first version mp-test\n' });
    expect(calls()).toEqual([install, 'tsc']);
  });

  it('is compiled again when dist was deleted', async () => {
    await run();
    rmSync(path.join(checkout, 'dist'), { recursive: true });
    expect(await run()).toMatchObject({ code: 0, stdout: 'first version\n' });
    expect(calls()).toEqual([install, 'tsc', 'tsc']);
  });
});

describe('faults', () => {
  it('what npm refuses is no verdict, and is tried again the next time', async () => {
    writeFileSync(path.join(directory, 'npm-fails'), '');
    const refused = await run();
    expect(refused).toMatchObject({ code: 3, stdout: '' });
    expect(refused.stderr).toContain('npm ci failed with exit code 1.\nnpm ERR! no such version');
    rmSync(path.join(directory, 'npm-fails'));
    expect(await run()).toMatchObject({ code: 0 });
  });

  it('what does not compile is no verdict, and never runs an older build', async () => {
    await run();
    write('pipeline/cli.ts', 'wrong');
    const refused = await run();
    expect(refused).toMatchObject({ code: 3, stdout: '' });
    expect(refused.stderr).toContain('the project does not compile.\npipeline/cli.ts(1,1): error TS1434');
  });
});

describe('several at once', () => {
  it('set the checkout up once, one after the other', async () => {
    const ended = await Promise.all([run('a'), run('b'), run('c')]);
    expect(ended.map(({ code, stdout }) => [code, stdout])).toEqual([
      [0, 'first version a\n'],
      [0, 'first version b\n'],
      [0, 'first version c\n'],
    ]);
    expect(calls()).toEqual([install, 'tsc']);
  });

  it('do not wait for one that was killed while it set up', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const key = createHash('sha256').update(checkout).digest('hex').slice(0, 16);
    const lock = path.join(directory, 'tmp', `lmcache-ci-setup-${process.getuid?.() ?? 0}-${key}.lock`);
    writeFileSync(lock, String(dead));
    expect(await run()).toMatchObject({ code: 0, stderr: expect.not.stringContaining('waiting for it') });
  });
});

describe('an installed package', () => {
  it('has no tsconfig.json, and nothing is set up there', async () => {
    await run();
    rmSync(path.join(checkout, 'tsconfig.json'));
    write('pipeline/cli.ts', 'changed');
    expect(await run()).toEqual({ code: 0, stdout: 'first version\n', stderr: '' });
    expect(calls()).toEqual([install, 'tsc']);
  });
});
