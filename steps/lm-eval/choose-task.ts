import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { request } from 'undici';
import type { StepContext } from '../step.js';
import { localTaskName } from './local-task.js';

export interface ChosenTask {
  readonly name: 'gsm8k' | typeof localTaskName;
  /** True: no library may try to reach the hub. */
  readonly offline: boolean;
  /** For the log. */
  readonly why: string;
}

const dataSet = 'openai/gsm8k';
const hubLimitMs = 5000;

type ChoiceContext = Pick<StepContext<unknown>, 'run' | 'settings' | 'signal'>;

/** GSM8K where a real engine is asked and the data set can be had, else the task of our own. */
export async function chooseTask(
  { run, settings, signal }: ChoiceContext,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ChosenTask> {
  if (run.engine === 'sim') {
    return { name: localTaskName, offline: true, why: 'the simulator does not know the answers to GSM8K' };
  }
  const hub = environment['HF_ENDPOINT'] ?? 'https://huggingface.co';
  const wantsOffline = /^(1|true|yes|on)$/i.test(environment['HF_HUB_OFFLINE'] ?? '');
  if (!wantsOffline && (await canReach(`${hub}/api/datasets/${dataSet}`, signal))) {
    return { name: 'gsm8k', offline: false, why: `${dataSet} is at "${hub}"` };
  }
  const home = settings.HF_HOME ?? path.join(os.homedir(), '.cache', 'huggingface');
  if (await isCached(home)) {
    return { name: 'gsm8k', offline: true, why: `${dataSet} lies in "${home}"` };
  }
  return { name: localTaskName, offline: true, why: `${dataSet} is neither at "${hub}" nor in "${home}"` };
}

async function canReach(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await request(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(hubLimitMs)]) });
    await response.body.dump();
    return response.statusCode === 200;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

/** Prepared by the datasets library, whose folders are named so; a mere download is not enough offline. */
async function isCached(home: string): Promise<boolean> {
  const entries = await readdir(path.join(home, 'datasets', 'openai___gsm8k', 'main')).catch(() => []);
  return entries.length > 0;
}
