import { existsSync } from 'node:fs';
import path from 'node:path';
import type { LiveRun } from '../engines/live-run.js';
import { describeRun, joinLiveRun } from '../engines/registry.js';
import { isSettled, type StepHistory, stepHistory } from '../results-schema/completed-steps.js';
import { readRun, type StoredRun } from '../results-schema/read-run.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import { ResultsDirectoryError } from '../results-schema/results-directory-checks.js';
import { openResultsDirectory } from '../results-schema/results-directory-fs.js';
import type { RunRecord, StepRecord } from '../results-schema/run-record.js';
import { commonSettings } from '../steps/common-settings.js';
import type { SettingDefinitions } from '../steps/settings.js';
import type { Step } from '../steps/step.js';
import { flagName, orchestratorSettings } from './config/definitions.js';
import { autoPort, valueSchema } from './config/parse-value.js';
import type { ResolvedSetting } from './config/resolve-settings.js';
import { flagValues } from './config/sources.js';
import { startsRun } from './step-selection.js';
import { UsageError } from './usage-error.js';

/** A run that was cut off, and what there is left to do of it. */
export interface Resumption {
  readonly results: ResultsDirectory;
  readonly record: RunRecord;
  /** As run.json has them; ports that were free then are chosen anew. */
  readonly settings: readonly ResolvedSetting[];
  /** All steps of the run, in order. */
  readonly planned: readonly Step[];
  /** Those that are to run now. */
  readonly todo: readonly Step[];
  /** Tests that need not run again. */
  readonly done: readonly StepRecord[];
  /** Tests that were cut off, or failed by the machine: what they have written is set aside. */
  readonly begun: readonly StepHistory[];
  /** Its engines, when they were left up. */
  readonly live: LiveRun | null;
}

export interface ResumeRequest {
  readonly buildId: string;
  /** null: where runs of this id write by default. */
  readonly resultsDir: string | null;
  readonly parsed: Readonly<Record<string, unknown>>;
  readonly steps: readonly Step[];
  readonly definitions: SettingDefinitions;
  readonly keepGoing: boolean;
}

/** What a resumed run may be told anew: how long to wait. Everything else it shares with what is there already. */
const changeable = new Set([...Object.keys(orchestratorSettings), 'MAX_WAIT_SECONDS', 'RESULTS_DIR']);

/** Reads what a run has left and decides what is still to do. @throws UsageError when there is nothing to go on with. */
export async function planResumption(request: ResumeRequest): Promise<Resumption> {
  const { buildId } = request;
  if (!valueSchema(commonSettings.BUILD_ID).safeParse(buildId).success)
    throw new UsageError(`--resume=${JSON.stringify(buildId)}: expected the BUILD_ID of an earlier run.`);
  const root = path.resolve(request.resultsDir ?? `/tmp/lmcache_ci_results_${buildId}`);
  if (!existsSync(root))
    throw new UsageError(
      `--resume=${buildId}: there is no "${root}". RESULTS_DIR says where the run's results are, if elsewhere. Nothing was started.`,
    );
  const results = await openResultsDirectory(root).catch((error: unknown) => {
    if (error instanceof ResultsDirectoryError)
      throw new UsageError(`--resume=${buildId}: ${error.message}. RESULTS_DIR says where else its results are.`);
    throw error;
  });
  const stored = await readRun(root);
  const record = recordOf(stored, buildId);
  const live = joinLiveRun({ buildId });
  if (live?.mode === 'attached')
    throw new UsageError(`--resume=${buildId}: that run is still going on (${describeRun(live)}).`);
  const planned = plannedSteps(stored, request.steps);
  const history = stepHistory(stored.events).filter(({ name }) =>
    planned.some((step) => step.kind === 'test' && step.name === name),
  );
  const done = history.flatMap(({ end, ...step }): StepRecord[] =>
    end && isSettled(end.result) ? [{ ...step, kind: 'test', ...end }] : [],
  );
  const isBlocked = !request.keepGoing && done.some(({ result }) => result.outcome === 'failed');
  const open = planned.filter(({ kind, name }) => kind === 'test' && !done.some((step) => step.name === name));
  const isOver = isBlocked || (open.length === 0 && done.length > 0);
  if (isOver && stored.events.at(-1)?.type === 'run-finished')
    throw new UsageError(`--resume=${buildId}: that run has ended, ${record.verdict?.message ?? 'with a verdict'}.`);
  return {
    results,
    record,
    settings: restoreSettings(request, record, live),
    planned,
    todo: isOver ? [] : planned.filter((step) => isOpen(step, open, live)),
    done,
    begun: history.filter(({ name }) => !done.some((step) => step.name === name)),
    live,
  };
}

/** What the tests stand on is made anew, unless it was left up. */
function isOpen(step: Step, openTests: readonly Step[], live: LiveRun | null): boolean {
  return step.kind === 'test' ? openTests.includes(step) : live === null || !startsRun.has(step.name);
}

/** The steps of a resumed run, old and new, in the order of the pipeline. */
export function inOrder(planned: readonly Step[], records: readonly StepRecord[]): readonly StepRecord[] {
  const position = ({ name }: StepRecord) => planned.findIndex((step) => step.name === name);
  return [...records].sort((a, b) => position(a) - position(b));
}

function recordOf(stored: StoredRun, buildId: string): RunRecord {
  const { record, root, problems } = stored;
  if (!record) {
    const why = problems.find((problem) => problem.startsWith('run.json')) ?? 'it ended before it wrote run.json';
    throw new UsageError(`--resume=${buildId}: nothing in "${root}" can be gone on with: ${why}.`);
  }
  if (record.buildId !== buildId)
    throw new UsageError(`--resume=${buildId}: "${root}" holds the run "${record.buildId}".`);
  return record;
}

function plannedSteps({ events, root }: StoredRun, all: readonly Step[]): readonly Step[] {
  const begin = events.findLast((event) => event.type === 'run-started' && event.command[0] === 'mp-test');
  const names = begin?.type === 'run-started' ? (begin.steps ?? []) : [];
  if (names.length === 0)
    throw new UsageError(`"${root}" is not of an mp-test: only a whole run can be resumed, single steps run again.`);
  return all.filter(({ name }) => names.includes(name));
}

function restoreSettings(
  { definitions, parsed, buildId }: ResumeRequest,
  record: RunRecord,
  live: LiveRun | null,
): readonly ResolvedSetting[] {
  const flags = flagValues(definitions, parsed);
  const refused = Object.keys(flags).filter((name) => !changeable.has(name));
  if (refused.length > 0) {
    const shown = refused.map((name) => `--${flagName(name)}`).join(', ');
    throw new UsageError(`--resume=${buildId}: a resumed run keeps its settings; ${shown} cannot be given anew.`);
  }
  // What `auto` came to then.
  const chosen: Readonly<Record<string, string>> = { ENGINE: record.engine, RUNTIME: record.runtime };
  return Object.entries(definitions).map(([name, definition]): ResolvedSetting => {
    const flag = flags[name];
    if (flag !== undefined && name !== 'RESULTS_DIR') {
      const parsedFlag = valueSchema(definition).safeParse(flag);
      if (!parsedFlag.success) throw new UsageError(`--${flagName(name)}=${JSON.stringify(flag)} cannot be used.`);
      return { name, definition, value: parsedFlag.data, origin: 'flag', source: `--${flagName(name)}` };
    }
    const known = record.settings.find((setting) => setting.name === name);
    if (!known) return { name, definition, value: definition.default, origin: 'default', source: null };
    const { origin, source } = known;
    if (String(known.value).includes('***'))
      throw new UsageError(`--resume=${buildId}: ${name} holds a secret, which run.json does not: start a new run.`);
    const isFreePort = known.requested === autoPort && live === null;
    const value = isFreePort ? autoPort : (chosen[name] ?? known.value);
    return { name, definition, value, origin, source };
  });
}
