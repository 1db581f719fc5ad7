import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { type RunReportFormat, runReportFormats, writeRunReport } from '../../report/run/write-run-report.js';
import type { Command } from '../cli.js';
import { didYouMean } from '../config/suggest.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';
import { checkOutputFolder } from './output-path.js';

/** `lmcache-ci report DIR`: a run's results as pages to read, print, or hand to a CI system. */
export const reportCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 report <directory> [options]\n\nMakes a report of a results directory: verdicts, LMCache beside the baseline, where the time went, logs.',
      )
      .positional('directory', { type: 'string', demandOption: true, describe: 'A results directory of mp-test' })
      .option('format', {
        type: 'string',
        array: true,
        requiresArg: true,
        default: ['html'],
        describe: `What to write: ${runReportFormats.join(', ')} (a,b or repeated)`,
      })
      .option('output', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        describe: 'Path without its ending [default: <directory>/report]; links to logs work beside them only',
      })
      .example('$0 report /tmp/lmcache_ci_results_nightly-7', 'report.html in that directory')
      .example('$0 report results/ --format pdf,junit -o out/nightly', 'out/nightly.pdf and out/nightly.junit.xml')
      .epilogue(
        describeExitCodes({
          0: 'written, whatever the run came to',
          2: 'no results directory, nothing readable in it',
        }),
      );
  },

  async run(parsed) {
    const formats = parseFormats(parsed['format']);
    const root = path.resolve(String(parsed['directory']));
    const stats = await lstat(root).catch((error: unknown) => {
      throw new UsageError(`"${root}" cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    });
    if (!stats.isDirectory()) throw new UsageError(`"${root}" is not a directory.`);
    const output = typeof parsed['output'] === 'string' ? path.resolve(parsed['output']) : undefined;
    if (output !== undefined) checkOutputFolder('-o', path.dirname(output));
    const files = await writeRunReport(root, formats, output);
    if (files === null) {
      throw new UsageError(
        `"${root}" holds no run.json that can be read; lmcache-ci status ${root} says what there is.\n` +
          'For CSV files of experiments see lmcache-ci process-result; a sweep has its report beside its summary.json.',
      );
    }
    process.stdout.write(`${files.join('\n')}\n`);
    return 0;
  },
};

function parseFormats(given: unknown): readonly RunReportFormat[] {
  const names = (Array.isArray(given) ? given.map(String) : []).flatMap((text) => text.split(','));
  const unknown = names.filter((name) => !runReportFormats.some((known) => known === name));
  if (unknown.length > 0) {
    const lines = unknown.map((name) => {
      const meant = didYouMean(name, runReportFormats);
      return `--format: "${name}" is none of ${runReportFormats.join(', ')}${meant ? `; did you mean ${meant}?` : ''}`;
    });
    throw new UsageError(lines.join('\n'));
  }
  return runReportFormats.filter((known) => names.includes(known));
}
