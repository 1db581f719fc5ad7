import type { TestTarget } from '../test-targets.js';
import type { ChosenTask } from './choose-task.js';

/** Directories of the three passes below `lm_eval/`. */
export type PassName = 'first_run' | 'second_run' | 'baseline_run';

/** One pass over the questions. */
export interface TaskPass {
  readonly pass: PassName;
  readonly target: TestTarget;
}

/** Who asks the questions; both write the same files. */
export interface TaskRunner {
  /** `lm_eval 0.4.13` or `native`, for logs and results. */
  readonly label: string;
  readonly task: ChosenTask['name'];
  /** Asks everything and leaves `samples_<task>_<time>.jsonl` in `lm_eval/<pass>/`; resolves with its absolute path. */
  run(pass: TaskPass): Promise<string>;
  /** Ends it; harmless when called again. */
  close(): Promise<void>;
}
