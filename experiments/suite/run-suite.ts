import path from 'node:path';
import type { ExperimentNotes } from '../../results-schema/experiment-notes.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { writeWholeSync } from '../../results-schema/whole-file.js';
import type { Target } from '../../workloads/target.js';
import { type Difference, differencesOf, type MeasuredExperiment } from './differences.js';
import type { LaunchPlan } from './engine-launch.js';
import type { PlanOptions } from './experiment-engines.js';
import type { NamedFunction } from './load-functions.js';
import { measureUntilClear } from './measure-until-clear.js';
import { ResultsCsv } from './results-csv.js';
import { type ExperimentResult, runExperiment } from './run-experiment.js';
import type { Experiment, TestCase } from './terms.js';
import { tokensPerWord } from './tokenizer-ratio.js';
import { useCaseName } from './workloads/use-cases.js';

/** A test function and the test cases it has made. */
export interface PlannedFunction {
  readonly name: string;
  /** null: it returned none, and has no CSV. */
  readonly cases: readonly TestCase[] | null;
}

export interface SuiteOptions extends Omit<PlanOptions, 'directory'> {
  readonly functions: readonly PlannedFunction[];
  /** As given, for the notes. */
  readonly file: string;
  readonly outputDirectory: string;
  /** Of -m; null: `{name}.csv` has no model in its name. */
  readonly modelSuffix: string | null;
  readonly extraColumns: boolean;
  /** Of this run alone; removed by the caller. */
  readonly directory: string;
  readonly readySeconds: number;
  /** Decides every prompt. */
  readonly seed: number;
  /** Whether an experiment that a busy machine leaves unclear is measured again. */
  readonly repeatsUnclear: boolean;
  /** Of this project. */
  readonly version: string;
  readonly reporter: SuiteReporter;
}

/** What a person is told. */
export interface SuiteReporter {
  functionStarted(name: string, csvPath: string | null): void;
  /** @param title e.g. `context 8192, 10 requests, 2 engines` */
  experimentStarted(id: number, title: string): void;
  progress(text: string): void;
  /** It was unclear; now it is measured again. @param speed of simulated engines; null: real ones */
  experimentRepeated(id: number, result: ExperimentResult, speed: number | null): void;
  experimentFinished(id: number, title: string, result: ExperimentResult): void;
}

export interface ExperimentFailure {
  readonly experimentId: number;
  readonly message: string;
  /** False: nothing was measured, engines did not start. */
  readonly measured: boolean;
}

export interface FunctionResult {
  readonly name: string;
  readonly csvPath: string | null;
  readonly failures: readonly ExperimentFailure[];
  readonly differences: readonly Difference[];
  readonly experiments: readonly MeasuredExperiment[];
  readonly notes: ExperimentNotes | null;
}

/**
 * Asks test functions for their test cases; nothing is started.
 * @param settings what they are called with
 * @throws Error naming the function that threw.
 */
export async function planFunctions(
  functions: readonly NamedFunction[],
  settings: Parameters<NamedFunction['run']>[0],
  explain: (error: unknown) => string,
): Promise<readonly PlannedFunction[]> {
  const planned: PlannedFunction[] = [];
  for (const { name, run } of functions) {
    try {
      const made = await run(settings);
      planned.push({ name, cases: casesOf(made) });
    } catch (error) {
      throw new Error(`The test function "${name}" failed: ${explain(error)}`, { cause: error });
    }
  }
  return planned;
}

function casesOf(made: TestCase | readonly TestCase[] | null | undefined): readonly TestCase[] | null {
  if (made === null || made === undefined) return null;
  const cases = Array.isArray(made) ? (made as readonly TestCase[]) : [made as TestCase];
  for (const { engines, experiments } of cases) {
    if (!Array.isArray(engines) || engines.length === 0) throw new Error('its test case has no engines');
    if (!Array.isArray(experiments) || experiments.length === 0) throw new Error('its test case has no experiments');
  }
  return cases;
}

/** Runs the functions one after the other. A failed experiment is noted, the others go on. */
export async function runSuite(options: SuiteOptions): Promise<readonly FunctionResult[]> {
  makeFolder(options.outputDirectory);
  const ratios = new Map<string, Promise<number>>();
  // Asked once a model: its engines have one tokenizer.
  const ratioOf = (target: Target): Promise<number> => {
    const known = ratios.get(target.model) ?? tokensPerWord(target, options.launch.hfHome, options.signal);
    ratios.set(target.model, known);
    known.catch(() => ratios.delete(target.model));
    return known;
  };
  const results: FunctionResult[] = [];
  const all: MeasuredExperiment[] = [];
  for (const planned of options.functions) {
    const result = await runFunction(planned, ratioOf, all, options);
    results.push(result);
    all.push(...result.experiments);
  }
  return results.map((result) => ({
    ...result,
    differences: result.experiments.flatMap((experiment) => differencesOf(experiment, all)),
  }));
}

async function runFunction(
  { name, cases }: PlannedFunction,
  ratioOf: (target: Target) => Promise<number>,
  earlier: readonly MeasuredExperiment[],
  options: SuiteOptions,
): Promise<FunctionResult> {
  const { reporter, modelSuffix, outputDirectory } = options;
  if (cases === null) {
    reporter.functionStarted(name, null);
    return { name, csvPath: null, failures: [], differences: [], experiments: [], notes: null };
  }
  const base = path.join(outputDirectory, modelSuffix === null ? name : `${name}_${modelSuffix}`);
  const csvPath = `${base}.csv`;
  reporter.functionStarted(name, csvPath);
  const notes = new NotesFile(`${base}.json`, name, options);
  notes.write();
  const csv = new ResultsCsv(csvPath, { extraColumns: options.extraColumns });
  const failures: ExperimentFailure[] = [];
  const measured: MeasuredExperiment[] = [];
  try {
    let experimentId = 0;
    for (const { experiments, engines, shows = [] } of cases) {
      for (const experiment of experiments) {
        const id = experimentId++;
        const title = titleOf(experiment);
        reporter.experimentStarted(id, title);
        const toMeasured = (result: ExperimentResult): MeasuredExperiment => {
          return { function: name, id, shows, rows: result.rows, overloaded: result.overload !== null };
        };
        const before = csv.length;
        const result = await measureUntilClear({
          speed: options.launch.simulator?.speed ?? null,
          measure: async (speed, repetition) => {
            csv.cutTo(before);
            const measurement = await runExperiment(experiment, engines, {
              ...options,
              launch: atSpeed(options.launch, speed),
              experimentId: id,
              // Another prompt for each measurement: servers that outlive an engine must not know it already.
              seed: options.seed + 7919 * id + 104_729 * repetition,
              directory: path.join(options.directory, `${name}-${id}-${repetition}`),
              tokensPerWord: ratioOf,
              onRow: (row) => csv.add(row),
              onProgress: (text) => reporter.progress(text),
            });
            csv.replaceSince(before, measurement.rows);
            return measurement;
          },
          isUnclear: (result) =>
            options.repeatsUnclear &&
            result.failure === null &&
            isUnclear(differencesOf(toMeasured(result), [...earlier, ...measured]), result),
          onRepetition: (result, speed) => reporter.experimentRepeated(id, result, speed),
        });
        notes.add(id, title, result);
        if (result.failure !== null)
          failures.push({ experimentId: id, message: result.failure, measured: result.measured });
        else measured.push(toMeasured(result));
        reporter.experimentFinished(id, title, result);
      }
    }
  } finally {
    csv.close();
  }
  return { name, csvPath, failures, differences: [], experiments: measured, notes: notes.content };
}

/** A simulated engine that waits for a core delays its answers, and only the client's own delays are known. */
function isUnclear(differences: readonly Difference[], { overload, simulated }: ExperimentResult): boolean {
  return differences.some(
    ({ outcome }) => (outcome === 'unclear' && overload !== null) || (outcome === 'not shown' && simulated !== null),
  );
}

function atSpeed(launch: LaunchPlan, speed: number | null): LaunchPlan {
  const { simulator } = launch;
  return simulator === null || speed === null ? launch : { ...launch, simulator: { ...simulator, speed } };
}

/** `context 8192, 10 requests`. */
function titleOf({ workload, useCase }: Experiment): string {
  const count = Math.floor(workload.duration * workload.qps + 1e-6);
  const kind = useCaseName(useCase);
  return `${kind === 'DUMMY' ? '' : `${kind}, `}context ${workload.contextLength}, ${count} requests`;
}

/** `{name}.json`: there before the first row, so that no simulated CSV is ever taken for a real one. */
class NotesFile {
  content: ExperimentNotes;
  readonly #path: string;

  constructor(file: string, name: string, options: SuiteOptions) {
    const { simulator, model } = options.launch;
    this.#path = file;
    this.content = {
      schemaVersion: 1,
      testFunction: name,
      model,
      simulated: simulator === null ? null : { profile: simulator.profile, speed: simulator.speed },
      experiments: [],
      run: {
        startedAt: new Date().toISOString(),
        finishedAt: new Date().toISOString(),
        version: options.version,
        file: options.file,
        seed: options.seed,
        engines: [],
      },
    };
  }

  add(id: number, title: string, result: ExperimentResult): void {
    const { content } = this;
    const simulated = content.simulated ?? result.simulated;
    const speed = result.simulated?.speed;
    const engines = result.engines.map(({ id: engineId, label }) => ({ id: engineId, name: label }));
    this.content = {
      ...content,
      simulated,
      experiments: [
        ...content.experiments,
        {
          id,
          title,
          engines,
          failure: result.failure,
          ...(result.overload === null ? {} : { clientOverloaded: true }),
          ...(speed === undefined || speed === simulated?.speed ? {} : { simulatedSpeed: speed }),
        },
      ],
      ...(content.run === undefined
        ? {}
        : {
            run: {
              ...content.run,
              finishedAt: new Date().toISOString(),
              engines:
                content.run.engines.length > 0
                  ? content.run.engines
                  : result.engines.map((engine) => ({
                      id: engine.id,
                      version: engine.version,
                      command: [...engine.command],
                    })),
            },
          }),
    };
    this.write();
  }

  write(): void {
    writeWholeSync(this.#path, `${JSON.stringify(this.content, null, 2)}\n`);
  }
}
