import path from 'node:path';
import { type SweepDefinition, sweepDefaults } from '../../experiments/sweep/load-sweep.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { defaultShape, generateConversations } from '../../workloads/traces/generate-conversations.js';
import { writeConversationCsv } from '../../workloads/traces/write-csv.js';
import { UsageError } from '../usage-error.js';

const directory = 'logs';
const requests = 120;

/** The one experiment that runs without a file, on conversations made for it: two minutes of the server's time. */
export async function demoDefinition(): Promise<SweepDefinition> {
  const file = path.resolve(directory, 'demo_conversations.csv');
  try {
    makeFolder(path.dirname(file));
    const conversations = generateConversations({ ...defaultShape, seed: 1, maxRequests: requests });
    await writeConversationCsv(file, conversations, 0);
  } catch (error) {
    throw new UsageError(
      `The demo's data set "${file}" cannot be written: ${error instanceof Error ? error.message : error}`,
    );
  }
  return {
    file: null,
    document: 1,
    tag: 'demo',
    logBaseDir: directory,
    modelName: 'qwen-8b',
    datasets: [
      {
        path: path.join(directory, path.basename(file)),
        file,
        place: null,
        format: null,
        cacheSizesGb: sweepDefaults.cacheSizesGb,
        requestRates: sweepDefaults.requestRates,
        conversationEvictions: sweepDefaults.conversationEvictions,
        conversationEvictionConfig: null,
        numPrompts: requests,
        timeLimitSeconds: requests,
        mockDecoding: false,
      },
    ],
  };
}
