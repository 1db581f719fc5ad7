import { cleanLeftovers } from '../../engines/clean.js';
import type { Command } from '../cli.js';
import { parseDuration } from '../duration.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';

/** `lmcache-ci clean`: removes what dead runs have left. */
export const cleanCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 clean [options]\n\nRemoves containers, processes and records that runs have left behind; live runs are never touched.',
      )
      .option('older-than', {
        type: 'string',
        requiresArg: true,
        describe: 'Only what is older, e.g. 30m, 2h, 1d [default: all]',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Say what would go, remove nothing' })
      .example('$0 clean --dry-run', 'what is left on this machine')
      .example('$0 clean --older-than 2h', 'spare what is recent')
      .epilogue(describeExitCodes({ 0: 'nothing is left over', 3: 'something could not be removed' }));
  },
  async run(parsed) {
    const olderThanMs = parseAge(parsed['olderThan']);
    const report = await cleanLeftovers({ dryRun: parsed['dryRun'] === true, olderThanMs });
    for (const line of report.removed)
      process.stdout.write(`${parsed['dryRun'] === true ? 'would remove' : 'removed'} ${line}\n`);
    for (const line of report.problems) process.stderr.write(`could not remove ${line}\n`);
    if (report.removed.length === 0 && report.problems.length === 0) process.stdout.write('Nothing is left over.\n');
    return report.problems.length === 0 ? 0 : 3;
  },
};

/** @throws UsageError for anything but a number with s, m, h or d. */
export function parseAge(given: unknown): number {
  if (given === undefined) return 0;
  const ageMs = parseDuration(String(given));
  if (ageMs === null)
    throw new UsageError(`--older-than=${JSON.stringify(given)}: expected an age such as 30m, 2h or 1d.`);
  return ageMs;
}
