import type { ResultsDirectory } from '../../results-schema/results-directory.js';
import type { SweepExperiment, SweepResult, SweepSummary } from '../../results-schema/sweep-summary.js';
import { clientLogName, type PlannedExperiment, serverLogName } from './grid.js';
import { readSweep } from './sweep-directory.js';

/** `summary.json` of one sweep: written whole after each experiment, so that a killed sweep loses none. */
export class SummaryStore {
  readonly #directory: ResultsDirectory;
  #summary: SweepSummary;
  #writing: Promise<void> = Promise.resolve();

  constructor(directory: ResultsDirectory, summary: SweepSummary) {
    this.#directory = directory;
    this.#summary = summary;
  }

  get summary(): SweepSummary {
    return this.#summary;
  }

  get root(): string {
    return this.#directory.root;
  }

  resultOf(name: string): SweepResult {
    return this.#summary.experiments.find((experiment) => experiment.name === name)?.result ?? { outcome: 'pending' };
  }

  /** Takes what another process has written since. */
  reload(): void {
    this.#summary = readSweep(this.root)?.summary ?? this.#summary;
  }

  /** Written with the next result. null: the server did not say. */
  noteVersion(vllm: string | null): void {
    if (vllm !== null) this.#summary = { ...this.#summary, versions: { ...this.#summary.versions, vllm } };
  }

  /** Resolves when it is on the disk. @throws when it cannot be written. */
  async set(name: string, result: SweepResult): Promise<void> {
    const experiments = this.#summary.experiments.map((experiment) =>
      experiment.name === name ? { ...experiment, result } : experiment,
    );
    const simulated = (result.outcome === 'pending' ? null : result.measurement?.simulated) ?? this.#summary.simulated;
    this.#summary = { ...this.#summary, simulated, experiments, totals: totalsOf(experiments) };
    await this.write();
  }

  /** One after the other: the newest state is written last. */
  write(): Promise<void> {
    this.#writing = this.#writing
      .catch(() => undefined)
      .then(async () => {
        this.#summary = { ...this.#summary, updatedAt: new Date().toISOString() };
        await this.#directory.writeJson('summary.json', this.#summary);
      });
    return this.#writing;
  }
}

/** Experiments of a grid that have not run, as they stand in a summary. */
export function pendingExperiments(grid: readonly PlannedExperiment[]): SweepExperiment[] {
  return grid.map(({ name, position, configuration }) => ({
    name,
    position,
    serverLog: serverLogName(name),
    clientLog: clientLogName(name),
    configuration,
    result: { outcome: 'pending' },
  }));
}

export function totalsOf(experiments: readonly SweepExperiment[]): SweepSummary['totals'] {
  const count = (outcome: SweepResult['outcome']) =>
    experiments.filter(({ result }) => result.outcome === outcome).length;
  const times = experiments.flatMap(({ result }) => (result.outcome === 'pending' ? [] : [result.executionSeconds]));
  return {
    total: experiments.length,
    successful: count('successful'),
    failed: count('failed'),
    pending: count('pending'),
    averageExecutionSeconds: times.length === 0 ? null : times.reduce((sum, time) => sum + time, 0) / times.length,
  };
}
