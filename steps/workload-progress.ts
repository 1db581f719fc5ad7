import type { WorkloadProgress } from '../workloads/target.js';
import type { StepProgress } from './step.js';

/** Shows a workload's progress as the step's: `baseline, query: 12/60, TTFT s 0.15`. */
export function showWorkload(progress: StepProgress, server: string): (state: WorkloadProgress) => void {
  return ({ phase, done, total, failed, figures }) => {
    const shown = Object.entries(figures).map(([label, value]) => `${label} ${value.toPrecision(3)}`);
    const all = failed === 0 ? shown : [...shown, `${failed} failed`];
    progress.update({
      task: `${server}, ${phase}`,
      done,
      total,
      ...(all.length === 0 ? {} : { figures: all.join(', ') }),
    });
  };
}
