import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { Anonymiser } from '../../../ci/real-runs/anonymise.js';
import { collect } from '../../../ci/real-runs/collect.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'collect-test-'));
const source = path.join(folder, 'session');
const target = path.join(folder, 'out');
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('packs texts anonymised, the larger ones gzipped and long logs cut, and leaves out what does not fit', async () => {
  mkdirSync(path.join(source, 'logs'), { recursive: true });
  mkdirSync(target);
  writeFileSync(path.join(source, 'run.json'), '{"hostname": "node-17"}');
  writeFileSync(path.join(source, 'logs', 'a.log'), `begin on node-17\n${'x'.repeat(2_000_000)}\nend`);
  writeFileSync(path.join(source, 'half.tmp'), 'not yet');
  const noise = Array.from({ length: 300_000 }, (_, index) => Math.sin(index).toString(36)).join('');
  writeFileSync(path.join(source, 'noise.csv'), noise);
  const archive = path.join(folder, 'all.tar');
  const machine = { hostname: 'node-17', kernel: '6.1', addresses: [], replacements: [] };
  await collect(source, archive, new Anonymiser(machine), 100_000);
  execFileSync('tar', ['-xf', archive, '-C', target]);
  expect(readFileSync(path.join(target, 'run.json'), 'utf8')).toBe('{"hostname": "gpu-host"}');
  const log = gunzipSync(readFileSync(path.join(target, 'logs', 'a.log.gz'))).toString();
  expect(log).toMatch(/^begin on gpu-host\nx+\n\[\.\.\. \d+ characters left out \.\.\.\]\nx+\nend$/);
  expect(readFileSync(path.join(target, 'LEFT-OUT.txt'), 'utf8')).toMatch(/^noise\.csv\.gz \d+\n$/);
  expect(() => readFileSync(path.join(target, 'half.tmp'))).toThrow();
});
