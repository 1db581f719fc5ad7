import { readFileSync } from 'node:fs';
import path from 'node:path';
import { EventLog } from '../results-schema/event-log.js';
import type { OrchestratorLost } from '../results-schema/orchestrator-lost.js';
import { secrets } from '../results-schema/secrets.js';
import { writeWholeSync } from '../results-schema/whole-file.js';
import type { ReleaseReport } from './fleet.js';
import type { LiveRun } from './live-run.js';
import { isProcessAlive } from './process-identity.js';

/** Into the keeper's own log. */
export function complain(what: string, error: unknown): void {
  console.error(secrets.hide(`${what}: ${error instanceof Error ? error.message : String(error)}`));
}

/** For whoever looks at the results later: the run was left up, and its time is over. Never throws. */
export function noteExpiry(run: LiveRun, report: ReleaseReport): void {
  try {
    const events = new EventLog(path.join(run.resultsDir, 'events.jsonl'));
    const message = `nobody cleaned up until ${run.expiresAt} (DETACHED_TTL): the engines were ended`;
    events.append({ type: 'warning', step: null, message });
    const { removed, forced, problems } = report;
    events.append({ type: 'cleanup', removed: [...removed], forced: [...forced], problems: [...problems] });
    events.close();
  } catch (error) {
    complain('the end of the run could not be noted', error);
  }
}

/** For whoever looks at the results later: the run did not end, it was ended. Never throws. */
export function writeLostNote(run: LiveRun, report: ReleaseReport): void {
  const note: OrchestratorLost = {
    buildId: run.buildId,
    at: new Date().toISOString(),
    orchestratorPid: run.orchestrator.pid,
    orchestratorAlive: isProcessAlive(run.orchestrator),
    removed: [...report.removed],
    forced: [...report.forced],
    problems: [...report.problems],
  };
  try {
    const target = path.join(run.resultsDir, 'orchestrator-lost.json');
    writeWholeSync(target, `${JSON.stringify(secrets.hideIn(note), null, 2)}\n`);
  } catch (error) {
    complain('orchestrator-lost.json could not be written', error);
  }
}

/** Whether the run that its results directory tells of has ended with a verdict. */
export function hasVerdict(run: Pick<LiveRun, 'resultsDir'>): boolean {
  try {
    const lines = readFileSync(path.join(run.resultsDir, 'events.jsonl'), 'utf8').split('\n');
    const last = lines.findLast((line) => /"type":"run-(?:started|finished)"/.test(line)) ?? '';
    return last.includes('"type":"run-finished"');
  } catch {
    return false;
  }
}
