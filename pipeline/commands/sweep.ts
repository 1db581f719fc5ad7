import { secrets } from '../../results-schema/secrets.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';
import { addEngineFlags } from './experiments-settings.js';
import { environmentOption, modelsOption } from './shared-options.js';
import { readSweepEngine, readSweepFlags, sweepSettings } from './sweep-settings.js';

/** `lmcache-ci sweep`: the grid of a YAML file over the machine's GPUs; `sweep merge`: shards put together. */
export const sweepCommand: Command = {
  async build(parser) {
    parser
      .usage(
        '$0 sweep [options]\n$0 sweep merge <directories..> --out <directory>\n\nMeasures a model under every cache size, request rate and eviction policy of a YAML file, on all GPUs at once.',
      )
      .positional('action', { type: 'string', describe: 'merge: put the summaries of shards together' })
      .positional('directories', { type: 'string', array: true, describe: 'Directories of results of the shards' })
      .option('yaml', { type: 'string', requiresArg: true, describe: 'The sweep; without it one demo experiment runs' })
      .option('gpus', { type: 'string', requiresArg: true, describe: 'GPUs to use, 0 for all [default: 0]' })
      .option('environment', environmentOption)
      .option('models', modelsOption)
      .option('dry-run', { type: 'boolean', default: false, describe: 'Print grid, commands and time; start nothing' })
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'Go on in the newest directory of this sweep: run what is not complete',
      })
      .option('retry-failed', { type: 'boolean', default: false, describe: 'With --resume: failed experiments too' })
      .option('shard', {
        type: 'string',
        requiresArg: true,
        describe: 'i/n: run every n-th experiment, from the i-th [default: 1/1]',
      })
      .option('out', { type: 'string', requiresArg: true, describe: 'sweep merge: the directory to make' })
      .option('schema', { type: 'boolean', default: false, describe: "Print the YAML file's JSON Schema, for editors" })
      .example('$0 sweep', 'one demo experiment; on the simulator where no GPU is')
      .example('$0 sweep --yaml qwen8b.yaml', 'everything in the file')
      .example('$0 sweep --yaml llama70b.yaml --gpus 4', 'on four GPUs')
      .example('$0 sweep --yaml qwen8b.yaml --dry-run', 'what would run, and how long it would take')
      .example('$0 sweep --yaml qwen8b.yaml --resume --retry-failed', 'go on after an interruption')
      .example('$0 sweep --yaml qwen8b.yaml --shard 2/4', 'a quarter of the grid, e.g. on one of four machines')
      .example('$0 sweep merge logs/*-of-4 --out logs/merged', 'the four quarters together')
      .epilogue(
        describeExitCodes({
          0: 'all successful',
          1: 'requests failed although their server lived',
          2: 'the YAML file, nothing was started',
          3: 'no verdict: a server did not start or died, no GPU',
          interrupted: '--resume goes on',
        }),
      );
    return addEngineFlags(parser, sweepSettings);
  },
  async check(parsed) {
    readSweepFlags(parsed);
  },
  async run(parsed) {
    if (parsed['schema'] === true) {
      const { sweepJsonSchema } = await import('../../experiments/sweep/sweep-file-schema.js');
      process.stdout.write(sweepJsonSchema());
      return 0;
    }
    const directories = Array.isArray(parsed['directories']) ? parsed['directories'].map(String) : [];
    if (parsed['action'] === 'merge') {
      const { mergeSweeps } = await import('./sweep-merge.js');
      return mergeSweeps(directories, typeof parsed['out'] === 'string' ? parsed['out'] : null);
    }
    if (parsed['action'] !== undefined) {
      throw new UsageError(
        `sweep "${String(parsed['action'])}": the only action is merge; the file of a sweep is named by --yaml, one a call. Nothing was started.`,
      );
    }
    if (parsed['out'] !== undefined) throw new UsageError('--out goes with sweep merge. Nothing was started.');
    if (parsed['retryFailed'] === true && parsed['resume'] !== true) {
      throw new UsageError(
        '--retry-failed goes with --resume: a new sweep has no failed experiments. Nothing was started.',
      );
    }
    const gpus = readSweepFlags(parsed);
    const [{ planSweep }, { checkWidth }] = await Promise.all([import('./sweep-plan.js'), import('./sweep-gpus.js')]);
    const plan = await planSweep(parsed);
    checkWidth(gpus, Math.max(1, ...plan.sweeps.flatMap(({ grid }) => grid.map((experiment) => experiment.gpus))));
    const settings = await readSweepEngine(parsed);
    if (parsed['dryRun'] === true) {
      const { describeSweeps } = await import('./sweep-plan-text.js');
      process.stdout.write(secrets.hide(`${describeSweeps(plan, settings, gpus)}\n`));
      return 0;
    }
    const { runSweeps } = await import('./sweep-run.js');
    const flags = { gpus, resume: parsed['resume'] === true, retryFailed: parsed['retryFailed'] === true };
    return runSweeps(plan, settings, flags);
  },
};
