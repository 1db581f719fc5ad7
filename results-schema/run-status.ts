import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from './events.js';
import { resultNames, validateText } from './file-schemas.js';
import type { StoredRun } from './read-run.js';
import { judgeWhole } from './run-verdict.js';
import type { StepResult } from './step-result.js';

/** Where a run is, or how it ended. */
export type RunState =
  /** It has a verdict. */
  | 'finished'
  | 'running'
  /** Its process vanished and its keeper has ended what it left. */
  | 'orchestrator-lost'
  /** No verdict, nobody who works on it, and nobody who could say why: keeper killed too, reboot, full disk. */
  | 'ended-without-verdict';

export interface StepStatus {
  readonly name: string;
  readonly state: StepResult['outcome'] | 'running' | 'cut-off' | 'not-run';
  /** The result's message, or why there is none. */
  readonly why: string;
}

export interface FileStatus {
  /** Relative to the results directory. */
  readonly path: string;
  readonly state: 'valid' | 'invalid' | 'missing' | 'temporary';
  /** Of what is not valid. */
  readonly why: string | null;
}

export interface RunStatus {
  /** null: the directory holds no run. */
  readonly buildId: string | null;
  readonly state: RunState;
  /** One line. */
  readonly summary: string;
  readonly steps: readonly StepStatus[];
  readonly files: readonly FileStatus[];
  /** What cannot be read, and what cleaning could not remove. */
  readonly problems: readonly string[];
}

/** What a step that has passed leaves, by its name; each pattern matches at least one file. */
const filesOfStep: Readonly<Record<string, readonly { readonly shown: string; readonly pattern: RegExp }[]>> = {
  'lm-eval': ['first_run', 'second_run'].map((pass) => ({
    shown: `lm_eval/${pass}/samples_*.jsonl`,
    pattern: new RegExp(`^lm_eval/${pass}/samples_[^/]+\\.jsonl$`),
  })),
  'vllm-bench': exactly('vllm_bench/baseline.json', 'vllm_bench/lmcache.json'),
  'long-doc-qa': exactly('long_doc_qa/baseline_result.json', 'long_doc_qa/lmcache_result.json'),
};

function exactly(...paths: readonly string[]) {
  return paths.map((path) => ({ shown: path, pattern: new RegExp(`^${path.replaceAll('.', '\\.')}$`) }));
}

/**
 * What is in a results directory, what is not, and why: after any end of its run.
 * @param isLive whether somebody still works on the run
 */
export async function statusOf(run: StoredRun, isLive: boolean): Promise<RunStatus> {
  const lost = run.orchestratorLost;
  const started = run.events.filter((event) => event.type === 'run-started');
  const buildId = run.record?.buildId ?? started[0]?.buildId ?? lost?.buildId ?? null;
  const last = run.events.findLast((event) => event.type === 'run-started' || event.type === 'run-finished');
  const results = resultsOf(run);
  const verdict =
    last?.type === 'run-finished'
      ? judgeWhole(
          last.verdict,
          [...results].map(([name, result]) => ({ name, result })),
        )
      : (run.record?.verdict ?? null);
  const isOver = last?.type === 'run-finished' || (last === undefined && verdict !== null);
  const state: RunState = isOver
    ? 'finished'
    : isLive
      ? 'running'
      : lost
        ? 'orchestrator-lost'
        : 'ended-without-verdict';
  const steps = stepsOf(
    run,
    results,
    state,
    started.flatMap((event) => event.steps ?? []),
  );
  return {
    buildId,
    state,
    summary:
      isOver && verdict
        ? `${verdict.outcome} (exit code ${verdict.exitCode}): ${verdict.message}`
        : noVerdict(run, state),
    steps,
    files: await filesOf(run.root, steps),
    problems: [...run.problems, ...(lost?.problems ?? []).map((problem) => `not removed: ${problem}`)],
  };
}

function noVerdict({ orchestratorLost: lost, events }: StoredRun, state: RunState): string {
  if (state === 'running') return 'still running';
  const at = lost?.at ?? events.at(-1)?.at ?? 'an unknown time';
  return state === 'orchestrator-lost'
    ? `infrastructure: orchestrator lost at ${at} (process ${lost?.orchestratorPid} was killed or crashed); its keeper removed ${lost?.removed.length ?? 0} things`
    : `no verdict: the last sign of life is of ${at}, and nobody works on it any more (killed together with its keeper, a reboot, or a full disk); lmcache-ci clean removes what it left`;
}

/** What each step came to last, whichever command ran it. */
function resultsOf({ record, events }: StoredRun): ReadonlyMap<string, StepResult> {
  const results = new Map<string, StepResult>(record?.steps.map(({ name, result }) => [name, result]) ?? []);
  for (const event of events) {
    if (event.type === 'step-started') results.delete(event.step);
    if (event.type === 'step-finished') results.set(event.step, event.result);
  }
  return results;
}

function stepsOf(
  { events }: StoredRun,
  results: ReadonlyMap<string, StepResult>,
  state: RunState,
  planned: readonly string[],
): StepStatus[] {
  const begun = new Map<string, Extract<RunEvent, { type: 'step-started' }>>();
  for (const event of events) if (event.type === 'step-started') begun.set(event.step, event);
  const names = [...new Set([...planned, ...begun.keys(), ...results.keys()])];
  const blocker = names.find((name) => isBad(results.get(name)));
  return names.map((name): StepStatus => {
    const result = results.get(name);
    if (result) return { name, state: result.outcome, why: wordsOf(result) };
    if (!begun.has(name)) return { name, state: 'not-run', why: notRun(state, blocker) };
    if (state === 'running') return { name, state: 'running', why: `since ${begun.get(name)?.at}` };
    return { name, state: 'cut-off', why: `began at ${begun.get(name)?.at}; the run ended in the middle of it` };
  });
}

const isBad = (result: StepResult | undefined) => result?.outcome === 'failed' || result?.outcome === 'inconclusive';

function notRun(state: RunState, blocker: string | undefined): string {
  if (state === 'running') return 'not yet';
  return blocker === undefined ? 'the run ended before it' : `"${blocker}" did not pass`;
}

function wordsOf(result: StepResult): string {
  if (result.outcome === 'skipped') return result.why;
  if (result.outcome === 'failed') return `${result.reason} (${result.cause}): ${firstLine(result.message)}`;
  return result.message === undefined ? '' : firstLine(result.message);
}

const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';

async function filesOf(root: string, steps: readonly StepStatus[]): Promise<FileStatus[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
  const ours = paths.filter((path) => resultNames.includes(path.split('/')[0] ?? ''));
  const files = await Promise.all(ours.map(async (path) => ({ path, ...(await check(join(root, path), path)) })));
  const temporary = paths
    .filter((path) => /(^|\/)\.[^/]+\.tmp$/.test(path))
    .map(
      (path): FileStatus => ({
        path,
        state: 'temporary',
        why: 'half written when its writer was killed; it may be deleted',
      }),
    );
  const missing = steps.flatMap(({ name, state, why }) =>
    (filesOfStep[name] ?? [])
      .filter(({ pattern }) => !paths.some((path) => pattern.test(path)))
      .map(({ shown }): FileStatus => ({ path: shown, state: 'missing', why: `step "${name}" ${state}: ${why}` })),
  );
  const unsigned = paths.includes('run.json')
    ? []
    : [{ path: 'run.json', state: 'missing', why: 'the run ended before its engines could be asked for' } as const];
  const kept = files.filter(({ path }) => !temporary.some((other) => other.path === path));
  return [...kept, ...temporary, ...missing, ...unsigned];
}

async function check(file: string, path: string): Promise<Pick<FileStatus, 'state' | 'why'>> {
  try {
    // The last line of a log that was cut off is no event yet; read-run.ts ignores it too.
    const text = await readFile(file, 'utf8');
    validateText(path, path === 'events.jsonl' ? text.slice(0, text.lastIndexOf('\n') + 1) : text);
    return { state: 'valid', why: null };
  } catch (error) {
    return { state: 'invalid', why: error instanceof Error ? error.message : String(error) };
  }
}
