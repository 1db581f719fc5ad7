import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { defaultShape, generateConversations } from '../../workloads/traces/generate-conversations.js';
import { writeConversationCsv } from '../../workloads/traces/write-csv.js';
import { measuringTest as test } from '../end-to-end/bench.js';
import { directories, prepare, summaryOf } from '../end-to-end/sweep-files.js';

/** A GPU that leaves room for some 60,000 tokens of KV cache beside the model: load enough for it is small. */
const smallGpu = { name: 'small-l40s', extends: 'l40s', gpuMemoryGiB: { value: 20, source: 'made up for this test' } };

/** As examples/sweeps/eviction.yaml: LMCache is a little smaller than the GPU's own cache. */
const sweep = `tag: eviction
model_name: qwen-8b
log_base_dir: OUT
defaults: {time_limit: 100, use_conversation_evictions: [false, true], mock_decoding: true}
experiments:
  datasets: [{path: data/chat.csv, cache_sizes: [6], request_rates: [3]}]
`;

test('conversation-aware eviction finds what LRU has lost, under a load that no cache holds', async ({ bench }) => {
  const file = await prepare(bench, sweep);
  const directory = path.dirname(file);
  const shape = {
    ...defaultShape,
    conversationsPerSecond: 1,
    turns: { median: 1.6, sigma: 1.2 },
    thinkSeconds: { median: 20, sigma: 0.8 },
    maxContextTokens: 8192,
  };
  const conversations = generateConversations({ ...shape, seed: 1, maxRequests: 400 });
  await writeConversationCsv(path.join(directory, 'data', 'chat.csv'), conversations, 0);
  const profile = path.join(directory, 'small-gpu.json');
  writeFileSync(profile, JSON.stringify(smallGpu));
  const run = await bench.run(['sweep', '--yaml', file, '--gpus', '1', '--sim-profile', profile, '--sim-speed', '20']);
  expect(run.code, run.output).toBe(0);
  const rates = summaryOf(directories(file)[0] ?? '').experiments.map(({ configuration, result }) => ({
    conversationAware: configuration.conversationEviction,
    hitRate: result.outcome === 'successful' ? result.measurement.cache.lmcache.hitRate : null,
  }));
  const [lru, aware] = rates;
  expect([lru?.conversationAware, aware?.conversationAware]).toEqual([false, true]);
  expect(aware?.hitRate, JSON.stringify(rates)).toBeGreaterThan((lru?.hitRate ?? 1) + 0.03);
});
