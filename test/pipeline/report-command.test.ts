import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { reportCommand } from '../../pipeline/commands/report.js';
import { sampleRun } from '../results-schema/sample-run.js';

describe('lmcache-ci report', () => {
  let root = '';
  const printed: string[] = [];
  beforeEach(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-report-command-'));
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    printed.length = 0;
    await rm(root, { recursive: true });
  });

  it('writes what is asked for, beside the results or elsewhere, and names it', async () => {
    await writeFile(path.join(root, 'run.json'), JSON.stringify(sampleRun()));
    expect(await reportCommand.run({ directory: root, format: ['md,junit'] })).toBe(0);
    const output = path.join(root, 'out', 'nightly');
    expect(await reportCommand.run({ directory: root, format: ['junit', 'md'], output })).toBe(0);
    expect(printed.join('').trim().split('\n')).toEqual([
      path.join(root, 'report.md'),
      path.join(root, 'report.junit.xml'),
      `${output}.md`,
      `${output}.junit.xml`,
    ]);
  });

  it('refuses unknown formats, all at once, and directories without a run', async () => {
    await expect(reportCommand.run({ directory: root, format: ['junti,html', 'x'] })).rejects.toThrow(
      '--format: "junti" is none of pdf, svg, html, md, junit; did you mean junit?\n--format: "x" is none of',
    );
    await expect(reportCommand.run({ directory: root, format: ['html'] })).rejects.toThrow('holds no run.json');
    await expect(reportCommand.run({ directory: `${root}/none`, format: ['html'] })).rejects.toThrow('cannot be read');
  });
});
