import type { StepContext } from '../step.js';
import { StepFailure } from '../step-failure.js';
import { chooseTask } from './choose-task.js';
import { startLmEvalRunner } from './lm-eval-runner.js';
import { localTaskName, writeLocalTask } from './local-task.js';
import { createNativeRunner } from './native-runner.js';
import type { LmEvalSettingValues } from './settings.js';
import type { TaskRunner } from './task-run.js';

/** Chooses who asks what (LM_EVAL, the engine, the hub) and makes it ready; `close` it when done. */
export async function startRunner(context: StepContext<LmEvalSettingValues>): Promise<TaskRunner> {
  const { settings, progress, results } = context;
  if (settings.LM_EVAL === 'native') {
    progress.log(`LM_EVAL=native: "${localTaskName}" is asked by our own client, not by lm_eval.`);
    return createNativeRunner(context);
  }
  const task = await chooseTask(context);
  if (task.name === localTaskName) {
    progress.log(`Task "${localTaskName}", word problems of our own: ${task.why}.`);
    await writeLocalTask(results, settings.LIMIT);
  } else {
    progress.log(`Task "${task.name}": ${task.why}.`);
  }
  try {
    return await startLmEvalRunner(context, task);
  } catch (error) {
    const pythonMissing =
      error instanceof StepFailure && error.reason === 'configuration' && error.failureCause === 'tool-missing';
    if (settings.LM_EVAL !== 'auto' || !pythonMissing) {
      throw error;
    }
    progress.warn(`${error.message} Without it, "${localTaskName}" is asked by our own client, not by lm_eval.`);
    return createNativeRunner(context);
  }
}
