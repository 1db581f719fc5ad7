import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { writeExperimentReport } from '../../report/experiments/write-experiment-report.js';
import { type ReportFormat, reportFormats } from '../../report/pages/write-report.js';
import { ExperimentCsvError } from '../../results-schema/experiment-csv.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';
import { checkOutputFolder } from './output-path.js';

/** `lmcache-ci process-result [csv...]`: the curves of experiments' CSV files as PDF, SVG and one HTML page. */
export const processResultCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 process-result [csv..] [options]\n\nDraws TTFT and throughput of every request, one line an engine, and GPU memory, out of the CSV files of test functions.',
      )
      .positional('csv', {
        type: 'string',
        array: true,
        describe: 'CSV files of `experiments` [default: every CSV of the current folder]',
      })
      .option('format', {
        type: 'string',
        array: true,
        requiresArg: true,
        choices: reportFormats,
        describe: 'What to write [default: all]',
      })
      .option('output-dir', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        describe: 'Where to write it [default: beside each CSV]',
      })
      .example('cd outputs/ && $0 process-result', 'every CSV here')
      .example('$0 process-result outputs/test_lmcache_local_cpu.csv', 'test_lmcache_local_cpu.pdf, .html and SVGs')
      .epilogue(describeExitCodes({ 0: 'all written', 2: 'a file that cannot be read or is no CSV of experiments' }));
  },

  async run(parsed) {
    const given = Array.isArray(parsed['csv']) ? parsed['csv'].map(String) : [];
    const files = given.length > 0 ? given : await csvFilesHere();
    const formats = chosenFormats(parsed['format']);
    const directory = typeof parsed['outputDir'] === 'string' ? { outputDirectory: parsed['outputDir'] } : {};
    if (directory.outputDirectory !== undefined) checkOutputFolder('-o', directory.outputDirectory);
    const problems: string[] = [];
    for (const file of files) {
      try {
        const written = await writeExperimentReport(file, { formats, ...directory });
        for (const note of written.notes) process.stderr.write(`${file}: ${note}\n`);
        process.stdout.write(`${file} -> ${summary(written.files)}\n`);
      } catch (error) {
        if (!(error instanceof ExperimentCsvError)) throw error;
        problems.push(error.message);
      }
    }
    if (problems.length > 0) throw new UsageError(problems.join('\n'));
    return 0;
  },
};

/** Pages by name; charts by their folder. */
function summary(files: readonly string[]): string {
  const charts = files.filter((file) => file.endsWith('.svg'));
  const pages = files.filter((file) => !file.endsWith('.svg'));
  const [first] = charts;
  return [...pages, ...(first === undefined ? [] : [`${path.dirname(first)}/ (${charts.length} charts)`])].join(', ');
}

function chosenFormats(given: unknown): readonly ReportFormat[] {
  if (!Array.isArray(given)) return reportFormats;
  return reportFormats.filter((format) => given.includes(format));
}

/** @throws UsageError when there is none. */
async function csvFilesHere(): Promise<readonly string[]> {
  const files = (await readdir('.')).filter((name) => name.endsWith('.csv')).sort();
  if (files.length > 0) return files;
  throw new UsageError(`There is no CSV file in "${process.cwd()}": go to the output directory, or name files.`);
}
