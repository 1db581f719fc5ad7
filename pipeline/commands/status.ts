import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { openRegistry } from '../../engines/registry.js';
import { renderStatus } from '../../report/status-text.js';
import { readRun, type StoredRun } from '../../results-schema/read-run.js';
import { statusOf } from '../../results-schema/run-status.js';
import { secrets } from '../../results-schema/secrets.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';

/** `lmcache-ci status DIR`: what a results directory holds, what is missing and why, after whatever end. Exit code 0 when it can tell. */
export const statusCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 status <directory> [options]\n\nSays what a run has left in its results directory, what is missing and why.',
      )
      .positional('directory', { type: 'string', demandOption: true, describe: 'A results directory of mp-test' })
      .option('json', { type: 'boolean', default: false, describe: 'One JSON object, for a machine' })
      .example('$0 status /tmp/lmcache_ci_results_nightly-7', 'what is there, what is missing, and why')
      .example('$0 status --json results/', 'for a machine')
      .epilogue(describeExitCodes({ 0: 'told, whatever the run came to', 2: 'no results directory' }));
  },
  async run(parsed) {
    const root = path.resolve(String(parsed['directory']));
    const stats = await lstat(root).catch((error: unknown) => {
      throw new UsageError(`"${root}" cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    });
    if (!stats.isDirectory()) throw new UsageError(`"${root}" is not a directory.`);
    const run = await readRun(root);
    const status = await statusOf(run, isLive(run));
    if (status.buildId === null) throw new UsageError(`"${root}" holds no run of lmcache-ci.`);
    const text = parsed['json'] === true ? JSON.stringify(status, null, 2) : renderStatus(status, root);
    process.stdout.write(secrets.hide(`${text}\n`));
    return 0;
  },
};

/** The registry knows; runs on external servers are not in it, there only the pid is left to ask. */
function isLive({ root, events }: StoredRun): boolean {
  if (
    openRegistry()
      .list()
      .live.some((run) => run.resultsDir === root)
  )
    return true;
  const last = events.findLast((event) => event.type === 'run-started');
  if (last?.runtime !== 'external') return false;
  try {
    process.kill(last.pid, 0);
    return true;
  } catch {
    return false;
  }
}
