import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { traceOptions } from './shared-options.js';

/** `lmcache-ci traces generate|convert|describe`: makes traces, brings them into columns, says what they hold. */
export const tracesCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 traces <action> [files..] [options]\n\nMakes traces of conversations, brings traces of any form into the columns that cache-simulation reads fastest, says what a trace holds.',
      )
      .positional('action', {
        choices: ['generate', 'convert', 'describe'] as const,
        demandOption: true,
        describe: 'generate FILE.csv, convert TRACE FILE.lctrace, describe TRACE',
      })
      .positional('files', { type: 'string', array: true, default: [], describe: 'As the action needs them' })
      .options(traceOptions)
      .option('json', { type: 'boolean', default: false, describe: 'describe: one JSON object, for a machine' })
      .option('like', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: the stand-in for a data set, cw_logs_5_29_5am_6am or cw_logs_5_28_19pm_20pm',
      })
      .option('seed', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: equal seeds give equal traces [default: 0]',
      })
      .option('requests', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: at most so many [default: no limit]',
      })
      .option('seconds', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: length of the trace [default: 3600, without --requests]',
      })
      .option('conversations-per-second', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: rate of the Poisson process of starts [default: 0.25]',
      })
      .option('turns', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: MEDIAN[,SIGMA] of a log-normal [default: 3,0.9]',
      })
      .option('first-question-tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: MEDIAN[,SIGMA] [default: 900,0.8]',
      })
      .option('question-tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: MEDIAN[,SIGMA] [default: 120,1]',
      })
      .option('answer-tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: MEDIAN[,SIGMA] [default: 220,0.7]',
      })
      .option('think-seconds', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: MEDIAN[,SIGMA] [default: 45,1]',
      })
      .option('max-context-tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: longest conversation [default: 16384]',
      })
      .option('starts-at', {
        type: 'string',
        requiresArg: true,
        describe: 'generate: date of the first request [default: 2025-05-29T05:00:00Z]',
      })
      .example('$0 traces generate data/peak.csv --like cw_logs_5_28_19pm_20pm', 'an hour of conversations at peak')
      .example('$0 traces generate long.csv --turns 8 --requests 100000 --seed 7', 'longer conversations')
      .example('$0 traces convert mooncake.jsonl mooncake.lctrace', 'columns, for cache-simulation')
      .example('$0 traces describe data/peak.csv', 'requests, conversations, lengths')
      .epilogue(
        `Forms and columns: docs/traces.md.\n\n${describeExitCodes({
          0: 'done',
          2: 'a trace that is not what it should be',
          interrupted: 'no half file is left',
        })}`,
      );
  },

  async run(parsed) {
    const { runTraces } = await import('./traces-actions.js');
    return runTraces(parsed);
  },
};
