// `npm test [-- project ...]`: makes a fresh clone ready, runs the tests, ends with one plain line of counts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from '../pipeline/bootstrap.mjs';

bootstrap();

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const projects = process.argv.slice(2);
const counts = { passed: 0, failed: 0 };
let status = 0;
// Whole runs measure: they must not share the cores with unit tests.
for (const project of projects.length > 0 ? projects : ['unit', 'end-to-end']) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'lmcache-ci-tests-'));
  const report = path.join(scratch, 'report.json');
  try {
    const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const args = ['run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const result = spawnSync(process.execPath, [vitest, ...args], { cwd: root, stdio: 'inherit' });
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, 'utf8'));
    counts.passed += numPassedTests;
    counts.failed += numFailedTests;
    if (numPendingTests + numTodoTests > 0)
      process.stderr.write(`${numPendingTests + numTodoTests} tests were not run.\n`);
    if (result.status !== 0 || numPassedTests === 0 || numPendingTests + numTodoTests > 0) status = 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = status;
