import type { SweepResult } from '../../results-schema/sweep-summary.js';
import type { PlannedExperiment } from './grid.js';
import type { ReplayProgress } from './replay.js';
import { type ExperimentContext, type ExperimentStage, runExperiment } from './run-experiment.js';
import { estimateMakespan, scheduleJobs } from './scheduler.js';
import type { SummaryStore } from './summary-store.js';

/** An experiment on its way. */
export interface RunningExperiment {
  readonly name: string;
  readonly gpus: readonly number[];
  readonly stage: ExperimentStage;
  readonly progress: ReplayProgress | null;
  /** `performance.now()` at its start. */
  readonly startedAtMs: number;
  readonly estimatedSeconds: number;
}

/** What a person watches. */
export interface SweepState {
  readonly gpuCount: number;
  readonly running: readonly RunningExperiment[];
  readonly waiting: number;
  readonly successful: number;
  readonly failed: number;
  readonly total: number;
  /** Wall-clock seconds until the end; null while nothing is known. */
  readonly leftSeconds: number | null;
}

export interface SweepObserver {
  started(experiment: PlannedExperiment, gpus: readonly number[]): void;
  finished(experiment: PlannedExperiment, result: SweepResult): void;
  /** The summary could not be written, a server could not be stopped: the sweep goes on. */
  warned(message: string): void;
}

/** One experiment with the directory it belongs to. */
export interface SweepJob {
  readonly experiment: PlannedExperiment;
  readonly store: SummaryStore;
  readonly context: ExperimentContext;
  /** From 1. */
  readonly attempt: number;
  readonly gpus: number;
  readonly estimatedSeconds: number;
}

export interface SweepRunOptions {
  readonly gpuCount: number;
  readonly signal: AbortSignal;
  readonly observer: SweepObserver;
}

/** Runs the experiments that are left to run, and keeps their results. */
export class SweepRun {
  readonly #jobs: readonly SweepJob[];
  readonly #options: SweepRunOptions;
  readonly #running = new Map<SweepJob, RunningExperiment>();
  readonly #waiting: Set<SweepJob>;
  #successful = 0;
  #failed = 0;
  /** How much longer experiments take than was estimated, by those that have ended. */
  #took = 0;
  #estimated = 0;

  constructor(jobs: readonly SweepJob[], options: SweepRunOptions) {
    this.#jobs = jobs;
    this.#options = options;
    this.#waiting = new Set(jobs);
  }

  /** Resolves when all have ended, or what ran when the signal was aborted has. */
  async run(): Promise<void> {
    const { gpuCount, signal } = this.#options;
    await scheduleJobs(this.#jobs, { gpuCount, signal, run: (job, gpus) => this.#runOne(job, gpus) });
  }

  get state(): SweepState {
    return {
      gpuCount: this.#options.gpuCount,
      running: [...this.#running.values()],
      waiting: this.#waiting.size,
      successful: this.#successful,
      failed: this.#failed,
      total: this.#jobs.length,
      leftSeconds: this.#leftSeconds(),
    };
  }

  async #runOne(job: SweepJob, gpus: readonly number[]): Promise<void> {
    const { experiment, store, context, attempt, estimatedSeconds } = job;
    const { observer } = this.#options;
    const startedAtMs = performance.now();
    this.#waiting.delete(job);
    const show = (stage: ExperimentStage, progress: ReplayProgress | null) =>
      this.#running.set(job, { name: experiment.name, gpus, stage, progress, startedAtMs, estimatedSeconds });
    show('data', null);
    observer.started(experiment, gpus);
    try {
      const result = await runExperiment(experiment, gpus, attempt, context, show);
      if (result.outcome === 'successful') this.#successful += 1;
      else this.#failed += 1;
      this.#took += result.executionSeconds;
      this.#estimated += estimatedSeconds;
      await store.set(experiment.name, result);
      observer.finished(experiment, result);
    } catch (error) {
      // Interrupted: it stays pending.
      if (!this.#options.signal.aborted) {
        observer.warned(`${experiment.name}: ${error instanceof Error ? error.message : error}`);
      }
    } finally {
      this.#running.delete(job);
    }
  }

  #leftSeconds(): number | null {
    if (this.#running.size === 0 && this.#waiting.size === 0) return 0;
    const factor = this.#estimated > 0 ? this.#took / this.#estimated : 1;
    const busy = new Array<number>(this.#options.gpuCount).fill(0);
    const now = performance.now();
    for (const { gpus, startedAtMs, estimatedSeconds } of this.#running.values()) {
      const left = Math.max(0, estimatedSeconds * factor - (now - startedAtMs) / 1000);
      for (const gpu of gpus) busy[gpu] = left;
    }
    const waiting = [...this.#waiting].map(({ gpus, estimatedSeconds }) => {
      return { gpus, estimatedSeconds: estimatedSeconds * factor };
    });
    return estimateMakespan(waiting, busy);
  }
}
