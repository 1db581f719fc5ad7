import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detectCi } from '../../ci/ci-environment.js';
import { publishSummary } from '../../ci/publish-summary.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lmcache-ci-publish-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const options = () => ({
  style: 'error' as const,
  context: 'lmcache-ci-b; rm -rf $HOME',
  signal: new AbortController().signal,
  searchPath: directory,
});
const buildkite = detectCi({ BUILDKITE: 'true', BUILDKITE_BUILD_ID: 'b' });

/** A buildkite-agent that is a node program, so that it notes its arguments exactly. */
function fakeAgent(program: string): void {
  const path = join(directory, 'buildkite-agent');
  writeFileSync(path, `#!${process.execPath}\n${program}`);
  chmodSync(path, 0o755);
}

describe('publishSummary', () => {
  it('appends to GitHub’s step summary', async () => {
    const path = join(directory, 'summary.md');
    writeFileSync(path, 'of an earlier step\n');
    const github = detectCi({ GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: path });
    expect(await publishSummary(github, '## passed\n', options())).toMatchObject({ outcome: 'published' });
    expect(readFileSync(path, 'utf8')).toBe('of an earlier step\n## passed\n');
  });

  it('cuts what GitHub would refuse, at a whole character', async () => {
    const path = join(directory, 'summary.md');
    const github = detectCi({ GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: path });
    await publishSummary(github, '€'.repeat(600_000), options());
    const written = readFileSync(path);
    expect(written.length).toBeLessThanOrEqual(1024 * 1024);
    expect(written.toString()).toMatch(/^€+\uFFFD?\n\n\(cut: /);
  });

  it('annotates through the agent’s arguments and stdin, past any shell', async () => {
    fakeAgent(`
      const fs = require('node:fs');
      fs.writeFileSync(${JSON.stringify(join(directory, 'seen.json'))},
        JSON.stringify({ argv: process.argv.slice(2), stdin: fs.readFileSync(0, 'utf8') }));`);
    expect(await publishSummary(buildkite, '## failed `x`', options())).toMatchObject({ outcome: 'published' });
    expect(JSON.parse(readFileSync(join(directory, 'seen.json'), 'utf8'))).toEqual({
      argv: ['annotate', '--style', 'error', '--context', 'lmcache-ci-b; rm -rf $HOME'],
      stdin: '## failed `x`',
    });
  });

  it('does without an agent, and outside of CI', async () => {
    expect(await publishSummary(buildkite, 'x', options())).toEqual({ outcome: 'nowhere' });
    expect(await publishSummary(detectCi({}), 'x', options())).toEqual({ outcome: 'nowhere' });
  });

  it('tells a refusal of the agent instead of failing the run', async () => {
    fakeAgent(`process.stdin.destroy(); console.error('401 no such token'); process.exit(4);`);
    const large = 'x'.repeat(500_000);
    expect(await publishSummary(buildkite, large, options())).toEqual({
      outcome: 'failed',
      message: 'buildkite-agent annotate ended with 4: 401 no such token',
    });
  });

  it('ends an agent that hangs when the run is aborted', async () => {
    fakeAgent(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`);
    const result = await publishSummary(buildkite, 'x', { ...options(), signal: AbortSignal.timeout(200) });
    expect(result.outcome).toBe('failed');
  });

  it('tells that the summary file cannot be written', async () => {
    const github = detectCi({ GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: join(directory, 'no', 'such', 'file') });
    expect(await publishSummary(github, 'x', options())).toMatchObject({ outcome: 'failed' });
  });
});
