import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { settingGroups } from '../../docs/setting-groups.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

describe('the Buildkite pipeline', () => {
  const { steps } = z
    .object({
      steps: z
        .array(
          z.looseObject({
            commands: z.array(z.string()),
            timeout_in_minutes: z.number(),
            env: z.record(z.string(), z.string()),
            artifact_paths: z.array(z.string()),
            retry: z.object({
              automatic: z.array(
                z.object({
                  exit_status: z.number().optional(),
                  signal_reason: z.string().optional(),
                  limit: z.number(),
                }),
              ),
              manual: z.unknown(),
            }),
          }),
        )
        .length(1),
    })
    .parse(parse(read('ci/buildkite-pipeline.yml')));
  const [step] = steps;

  it('runs the real thing, with a time limit', () => {
    // What cannot be cleaned must not keep it from running.
    expect(step?.commands).toEqual(['npx lmcache-ci clean || true', 'npm run mp-test']);
    expect(step?.timeout_in_minutes).toBe(60);
    expect(step?.env).toMatchObject({ CI: 'true', ENGINE: 'vllm', RUNTIME: 'docker', DOCKER_BUILDKIT: '1' });
  });

  it('tries again only when the agent was lost or there was no verdict', () => {
    expect(step?.retry.automatic.map(({ exit_status, signal_reason }) => exit_status ?? signal_reason)).toEqual([
      -1,
      'agent_stop',
      3,
    ]);
  });

  it('keeps the results where the artifacts are looked for', () => {
    expect(step?.artifact_paths).toEqual([`${step?.env.RESULTS_DIR}/**/*`]);
  });
});

describe('the GitHub workflows', () => {
  const files = [
    ...readdirSync(join(root, '.github/workflows')).map((name) => `.github/workflows/${name}`),
    'ci/github-workflow.yml',
  ];

  it('pin every action to a commit', () => {
    const uses = files.flatMap((file) => [...read(file).matchAll(/uses:\s*(.+)/g)]);
    expect(uses.length).toBeGreaterThan(0);
    for (const [, action] of uses) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('may only read, and never put text of a pull request into a shell', () => {
    for (const file of files) {
      const workflow = z
        .looseObject({ permissions: z.record(z.string(), z.string()), jobs: z.record(z.string(), z.unknown()) })
        .parse(parse(read(file)));
      expect(workflow.permissions).toEqual({ contents: 'read' });
      for (const [, script] of read(file).matchAll(/run:\s*(.+)/g)) expect(script).not.toContain('${{');
    }
  });

  it('run .ci/run, and the unit tests on every supported major of Node', () => {
    const text = read('.github/workflows/ci.yml');
    expect(text).toContain('run: .ci/run');
    expect(text).toMatch(/node: \['20\.19', '22', '24'\]/);
  });
});

describe('the examples for a CI', () => {
  const job = z.looseObject({
    env: z.record(z.string(), z.string()),
    steps: z.array(z.looseObject({ run: z.string().optional(), with: z.record(z.string(), z.unknown()).optional() })),
  });
  const { jobs } = z.looseObject({ jobs: z.record(z.string(), job) }).parse(parse(read('ci/github-workflow.yml')));

  it('for GitHub run the pipeline, on GPUs never on the simulator, and keep its results', () => {
    expect(Object.keys(jobs)).toEqual(['simulator', 'gpu']);
    expect(jobs['simulator']?.env).toMatchObject({ ENGINE: 'sim' });
    expect(jobs['gpu']?.env).toMatchObject({ ENGINE: 'vllm', RUNTIME: 'docker' });
    for (const { env, steps } of Object.values(jobs)) {
      // A cancelled job signals the step's first process alone.
      expect(steps.filter(({ run }) => run === 'exec node pipeline/lmcache-ci.mjs mp-test')).toHaveLength(1);
      const { path } = steps.at(-1)?.with ?? {};
      expect(env['RESULTS_DIR']).toBe(`\${{ github.workspace }}/${path}`);
    }
  });

  it('set only variables that there are', async () => {
    const settings = (await settingGroups()).flatMap((group) => Object.keys(group.settings));
    // Read by the CI detection, by Docker, and by the command of the sweep.
    const known = new Set([...settings, 'CI', 'DOCKER_BUILDKIT']);
    for (const file of ['buildkite-pipeline', 'buildkite-sweep', 'github-workflow', 'kubernetes-sweep']) {
      const text = read(`ci/${file}.yml`);
      const blocks = [...text.matchAll(/^( *)env:\n((?:\1 +.*\n)+)/gm)].map(([, , block = '']) => block);
      const names = blocks.flatMap((block) =>
        [...block.matchAll(/(?:^ *|name: )([A-Z][A-Z0-9_]+)[:,]/gm)].map(([, name = '']) => name),
      );
      expect(names.length, file).toBeGreaterThan(0);
      expect(
        names.filter((name) => !known.has(name)),
        file,
      ).toEqual([]);
    }
  });
});

describe('setup-gpu-host.sh', () => {
  let tools: string;
  beforeEach(() => {
    tools = mkdtempSync(join(tmpdir(), 'lmcache-ci-tools-'));
    for (const tool of ['bash', 'sed', 'grep', 'wc', 'id', 'tail']) {
      const found = ['/bin', '/usr/bin'].map((directory) => join(directory, tool)).find((path) => readable(path));
      if (found !== undefined) symlinkSync(found, join(tools, tool));
    }
    symlinkSync(process.execPath, join(tools, 'node'));
  });
  afterEach(() => rmSync(tools, { recursive: true, force: true }));

  function stub(name: string, body: string): void {
    writeFileSync(join(tools, name), `#!/bin/bash\n${body}\n`);
    chmodSync(join(tools, name), 0o755);
  }
  function setUp(...args: string[]) {
    return spawnSync(join(tools, 'bash'), [join(root, 'ci/setup-gpu-host.sh'), ...args], {
      encoding: 'utf8',
      env: { PATH: tools },
      timeout: 20_000,
    });
  }
  const docker = `case "$*" in
    'info --format {{json .Runtimes}}') echo '{"nvidia":{"path":"nvidia-container-runtime"},"runc":{}}' ;;
  esac`;

  it('--check finds a machine that has it all ready', () => {
    stub('nvidia-smi', "printf 'GPU 0: H200\\nGPU 1: H200\\n'");
    stub('docker', docker);
    stub('uv', '');
    const { status, stdout } = setUp('--check');
    expect(stdout).not.toContain('missing ');
    expect(stdout).toContain('ready');
    expect(status).toBe(0);
  });

  it('--check names what is missing and changes nothing', () => {
    stub('nvidia-smi', "echo 'GPU 0: H200'");
    stub('docker', `[[ "$1" != buildx ]] || exit 1; echo '{"runc":{}}'`);
    stub('apt-get', 'echo installed >&2; exit 99');
    const { status, stdout, stderr } = setUp('--check');
    expect(status).toBe(1);
    expect(stdout).toContain('missing  two NVIDIA GPUs');
    expect(stdout).toContain('ok       a Docker daemon');
    expect(stdout).toContain('missing  the buildx plugin');
    expect(stdout).toContain('missing  the nvidia runtime');
    expect(stdout).toContain('missing  uv, or python3');
    expect(stdout).toContain('4 missing');
    expect(stderr).toBe('');
  });

  it('refuses an unknown option', () => {
    expect(setUp('--chekc')).toMatchObject({ status: 2, stderr: expect.stringContaining('unknown option "--chekc"') });
  });
});

function readable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}
