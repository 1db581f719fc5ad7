import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { BenchFlags } from './bench-flags.js';
import { traceOptions } from './shared-options.js';

/** `lmcache-ci cache-simulation TRACE|SERVER_LOG`: hit rate over cache size by eviction policy, offline. */
export const cacheSimulationCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 cache-simulation <trace> [options]\n\nComputes what caches of any size would have kept of a trace, or of the requests in a server log: hit rate over cache size for LRU, FIFO, conversation-aware eviction and the optimum. No server runs.',
      )
      .positional('trace', {
        type: 'string',
        demandOption: true,
        describe:
          'A trace in columns (traces convert), conversational or Azure CSV, Mooncake, ShareGPT, or a server log',
      })
      .option('policy', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'lru, fifo, conversation, belady (a,b or repeated) [default: all]',
      })
      .option('sizes', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: '64,128GB 5000chunks 1000000tokens 10% [default: --points sizes up to all chunks]',
      })
      .option('points', { type: 'string', requiresArg: true, describe: 'Without --sizes: how many [default: 24]' })
      .option('chunk-tokens', { type: 'string', requiresArg: true, describe: 'Tokens a chunk [default: 256]' })
      .option('kv-bytes-per-token', {
        type: 'string',
        requiresArg: true,
        describe: 'Bytes of KV cache a token [default: 163840, Qwen3-14B]',
      })
      .option('store-answers', { type: 'boolean', default: true, describe: 'Whether chunks of answers are stored too' })
      .option('max-context-tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'Leave out requests beyond this [default: none]',
      })
      .option('reference-seconds', {
        type: 'string',
        requiresArg: true,
        describe: 'conversation: how fast worth fades [default: 100]',
      })
      .option('return-weight', {
        type: 'string',
        requiresArg: true,
        describe: 'conversation: what coming back at once adds [default: 1]',
      })
      .options(traceOptions)
      .option('output', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        describe: 'Write BASE.cache-simulation.json and .csv, BASE.html, BASE.pdf, BASE-charts/',
      })
      .option('json', { type: 'boolean', default: false, describe: 'Print the JSON instead of the table' })
      .option('scratch', {
        type: 'string',
        requiresArg: true,
        describe: 'Directory for files in between [default: /tmp]',
      })
      .example('$0 cache-simulation data/peak.csv', 'all policies, 24 sizes')
      .example('$0 cache-simulation mooncake.jsonl --policy lru,belady --sizes 64,128,256', 'three sizes in GB')
      .example('$0 cache-simulation server.log -o outputs/replay', "a server log's requests; JSON, CSV, HTML, PDF, SVG")
      .epilogue(
        describeExitCodes({
          0: 'done',
          2: 'a trace that is not what it should be',
          interrupted: 'no half file is left',
        }),
      );
  },

  async check(parsed) {
    const { readCacheSimulationFlags } = await import('./cache-simulation-flags.js');
    readCacheSimulationFlags(new BenchFlags(parsed));
  },

  async run(parsed) {
    const { runCacheSimulation } = await import('./cache-simulation-run.js');
    return runCacheSimulation(parsed);
  },
};
