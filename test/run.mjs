// `npm test [-- project ...]`: makes a fresh clone ready, runs the tests, ends with one plain line of counts.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { bootstrap } from '../pipeline/bootstrap.mjs';

bootstrap();

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const projects = process.argv.slice(2);
const counts = { passed: 0, failed: 0 };
const failures = [];
const retried = [];
// One after the other: what measures must not share the cores with what does not.
for (const project of projects.length > 0 ? projects : ['unit', 'end-to-end', 'measuring']) {
  const { passed, failed } = runProject(project);
  counts.passed += passed;
  counts.failed += failed;
}
// Once more at the end: who reads a CI log from its tail must not search hundreds of lines for the reason.
for (const test of retried) process.stdout.write(`PASSED ONLY WHEN RUN AGAIN ${test}\n`);
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** Whatever keeps a test from being seen to pass is counted as a failure, so that the last line never says less. */
function runProject(project) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'lmcache-ci-tests-'));
  const report = path.join(scratch, 'report.json');
  try {
    const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const args = ['run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { status, signal } = spawnSync(process.execPath, [vitest, ...args], { cwd: root, stdio: 'inherit' });
    const files = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : [];
    const states = files.flatMap(({ assertionResults }) => assertionResults.map((test) => test.status));
    const countOf = (state) => states.filter((one) => one === state).length;
    const passed = countOf('passed');
    const failed = countOf('failed');
    const problems = [
      [states.length - passed - failed, 'tests that were not run'],
      [files.filter(isBroken).length, 'files that could not be loaded or did not end well'],
    ].filter(([count]) => count > 0);
    if (states.length === 0 && problems.length === 0) problems.push([1, 'there was no test']);
    retried.push(...files.flatMap((file) => told(project, file, ({ status }) => status === 'passed')));
    failures.push(...files.flatMap((file) => failuresOf(project, file)));
    const end = signal ?? `exit code ${status}`;
    if (status !== 0 && failed === 0 && problems.length === 0)
      problems.push([1, `vitest ended with ${end}, see above`]);
    for (const [count, what] of problems) process.stderr.write(`${project}: counted as failed: ${count}, ${what}\n`);
    return { passed, failed: problems.reduce((sum, [count]) => sum + count, failed) };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The file's failed tests, or what kept it from running any, each with the beginning of its reason. */
function failuresOf(project, file) {
  if (isBroken(file)) return [`${project}: ${path.relative(root, file.name)}${reasonOf(file.message)}`];
  return told(project, file, ({ status }) => status === 'failed');
}

/** Those of the file's tests with failures, be it only at the first try, that the filter lets through. */
function told(project, { name, assertionResults }, filter) {
  return assertionResults
    .filter((test) => filter(test) && test.failureMessages.length > 0)
    .map((test) => `${project}: ${path.relative(root, name)}: ${test.fullName}${reasonOf(test.failureMessages[0])}`);
}

function reasonOf(message) {
  const lines = stripVTControlCharacters(message).trimEnd().split('\n');
  const telling = lines.filter((line) => !line.includes('/node_modules/')).slice(0, 15);
  return telling.map((line) => `\n    ${line.slice(0, 300)}`).join('');
}

/** A file that failed although none of its tests did. */
function isBroken({ status, assertionResults }) {
  return status === 'failed' && assertionResults.every((test) => test.status !== 'failed');
}
