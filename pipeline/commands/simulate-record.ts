import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { BenchFlags } from './bench-flags.js';
import { readRecordFlags, recordDefaults } from './simulate-record-flags.js';
import { describeRecording } from './simulate-record-plan.js';
import { runRecording } from './simulate-record-run.js';

/**
 * `lmcache-ci simulate record`: measures a running server the way `simulate calibrate` reads it: single prompts on an
 * idle engine, decode batches, arrivals, long documents.
 */
export const simulateRecordCommand: Command = {
  async build(parser) {
    const text = (describe: string, byDefault?: string) => ({
      type: 'string' as const,
      requiresArg: true,
      describe: byDefault === undefined ? describe : `${describe} [default: ${byDefault}]`,
    });
    const own = (name: keyof typeof recordDefaults, describe: string) => text(describe, recordDefaults[name]);
    return parser
      .usage(
        '$0 simulate record --engine <engine> --out <folder> [options]\n\nRecords a running OpenAI server, a vLLM with or without LMCache, so that `simulate calibrate` can fit a profile to it. Takes about four minutes; the server must be otherwise idle.',
      )
      .option('url', own('url', 'The server'))
      .option('engine', text('lmcache or baseline: a vLLM with LMCache, or without'))
      .option('out', text('Folder of the recordings'))
      .option('model', text('Model of the requests [default: the first that the server lists]'))
      .option('parts', own('parts', 'What is recorded: single, ids, decode, arrivals, longdoc'))
      .option('lengths', own('lengths', 'single, ids: tokens of the prompts'))
      .option('repetitions', own('repetitions', 'single, ids: new prompts of each length'))
      .option('pause', own('pause', 'Seconds between requests, for the engine to become idle, stores included'))
      .option('batches', own('batches', 'decode: requests at once'))
      .option('decode-prompt-tokens', own('decode-prompt-tokens', 'decode: tokens of each prompt'))
      .option('decode-output-tokens', own('decode-output-tokens', 'decode: tokens of each answer'))
      .option('arrivals', {
        ...own('arrivals', 'arrivals: poisson:RATE:COUNT, burst:COUNT, with commas between or given again'),
        array: true,
      })
      .option('arrival-prompt-tokens', own('arrival-prompt-tokens', 'arrivals: MIN-MAX tokens of a prompt'))
      .option('arrival-output-tokens', own('arrival-output-tokens', 'arrivals: MIN-MAX tokens of an answer'))
      .option('documents', own('documents', 'longdoc: documents'))
      .option('document-length', own('document-length', 'longdoc: tokens of a document'))
      .option('output-len', own('output-len', 'longdoc: tokens of an answer'))
      .option('max-inflight-requests', own('max-inflight-requests', 'longdoc: requests at once'))
      .option('repeat-count', own('repeat-count', 'longdoc: queries a document'))
      .option('seed', text('Decides prompts and arrivals [default: another one each time]'))
      .option('dry-run', { type: 'boolean', describe: 'Only say what would be sent' })
      .example('$0 simulate record --engine lmcache --out recordings', 'a vLLM with LMCache on port 8000')
      .example(
        '$0 simulate record --url http://127.0.0.1:8001 --engine baseline --out recordings',
        'the one without, into the same folder',
      )
      .example('$0 simulate record --engine baseline --out quick --parts single --lengths 500,4000', 'only TTFTs')
      .example('$0 simulate record --engine lmcache --out x --arrivals poisson:4:80 --parts arrivals', 'only arrivals')
      .epilogue(
        describeExitCodes({
          0: 'all recorded',
          1: 'requests failed, or tokens came several at a time',
          3: 'unreachable, or not the engine that was named',
          interrupted: 'what is complete stays recorded',
        }),
      );
  },
  async check(parsed) {
    readRecordFlags(new BenchFlags(parsed));
  },
  async run(parsed) {
    const settings = readRecordFlags(new BenchFlags(parsed));
    if (parsed['dryRun'] === true) {
      process.stdout.write(describeRecording(settings));
      return 0;
    }
    return runRecording(settings);
  },
};
