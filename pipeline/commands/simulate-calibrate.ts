import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { formatFixed, formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { type Comparison, compare, errorsOf } from '../../simulator/calibration/compare.js';
import { changedConstants } from '../../simulator/calibration/constants.js';
import { fitProfile } from '../../simulator/calibration/fit.js';
import { type RecordedCase, readRecording } from '../../simulator/calibration/recordings.js';
import { partsOf } from '../../simulator/calibration/split.js';
import type { ModelShape } from '../../simulator/contracts.js';
import { shapeFromFolder } from '../../simulator/model-config.js';
import type { ProfileFile } from '../../simulator/profile-schema.js';
import { profileFile, profileOf } from '../../simulator/profiles.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';

/**
 * `lmcache-ci simulate calibrate FILES`: fits a profile's constants to recordings of a real engine and says how far
 * its predictions are off, on the cases it was fitted on and on those it was not. Exit code 0 when it could tell.
 */
export const simulateCalibrateCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        "$0 simulate calibrate <files..> [options]\n\nFits the simulator's constants to recordings of a real engine, and says how far its predictions are off.",
      )
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Recordings: single-*.csv, decode-*.csv[.gz], longdoc-*.csv, bench-*.csv, or a CSV of cases',
      })
      .option('profile', { type: 'string', default: 'h200', describe: 'Where the constants begin: name or file' })
      .option('model', {
        type: 'string',
        default: 'Qwen/Qwen3-14B',
        describe: 'Model that was recorded: name or folder',
      })
      .option('name', { type: 'string', describe: 'Name of the new profile [default: that of its file]' })
      .option('out', { type: 'string', describe: 'Profile file to write [default: none]' })
      .option('fit', { type: 'boolean', default: true, describe: 'Fit; --no-fit only compares the profile as it is' })
      .example('$0 simulate calibrate recordings/*.csv* --out mine.json', 'fit, report, write mine.json')
      .example('$0 simulate calibrate single-baseline.csv --no-fit --profile mine.json', 'how good is a profile?')
      .epilogue(describeExitCodes({ 0: 'told', 2: 'a recording or a profile that is not what it should be' }));
  },
  async run(parsed) {
    const files = Array.isArray(parsed['files']) ? parsed['files'].map(String) : [];
    const base = asUsage(() => profileFile(String(parsed['profile'])));
    const model = asUsage(() => modelOf(String(parsed['model']), base));
    const cases = asUsage(() => files.flatMap((file) => [...readRecording(file)]));
    const parts = partsOf(cases);
    const training = cases.filter((_, index) => parts[index] === 'training');
    const out = typeof parsed['out'] === 'string' ? parsed['out'] : null;
    const fitted = parsed['fit'] === true ? await fitTo(base, model, training) : base;
    const comparisons = await compare({ profile: profileOf(fitted), model }, cases);
    process.stdout.write(`${tableOf(comparisons)}\n\n${summaryOf(comparisons)}\n\n${changesOf(base, fitted)}\n`);
    if (out !== null) {
      const name = typeof parsed['name'] === 'string' ? parsed['name'] : path.basename(out, '.json');
      writeFileSync(out, `${JSON.stringify({ ...fitted, name }, null, 2)}\n`);
      process.stdout.write(`\nwrote "${out}"; use it with SIM_PROFILE=${path.resolve(out)}\n`);
    }
    return 0;
  },
};

function fitTo(base: ProfileFile, model: ModelShape, training: readonly RecordedCase[]): Promise<ProfileFile> {
  const source = `fitted by \`simulate calibrate\` to ${training.length} recorded cases: every other prompt length and batch size, the long-document warm-up and the bench of the engine without LMCache`;
  return fitProfile(base, model, training, source);
}

function modelOf(name: string, base: ProfileFile): ModelShape {
  return shapeFromFolder(name) ?? profileOf(base).model(name);
}

function asUsage<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function tableOf(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map(({ group, part, label, predicted, measured, unit, error }) => [
    group,
    part,
    label,
    `${formatNumber(predicted)} ${unit}`,
    `${formatNumber(measured)} ${unit}`,
    percent(error),
  ]);
  return textTable([['what', 'used for', 'case', 'predicted', 'measured', 'error'], ...rows], [3, 4, 5]);
}

/** Median and worst error of each kind of case, training and validation apart. */
function summaryOf(comparisons: readonly Comparison[]): string {
  const groups = [...new Set(comparisons.map(({ group }) => group))];
  const rows = groups.flatMap((group) =>
    (['training', 'validation'] as const).flatMap((part) => {
      const own = comparisons.filter((entry) => entry.group === group && entry.part === part);
      if (own.length === 0) return [];
      const { median, worst } = errorsOf(own);
      return [[group, part, String(own.length), percent(median), percent(worst)]];
    }),
  );
  return textTable([['what', 'used for', 'cases', 'median error', 'worst error'], ...rows], [2, 3, 4]);
}

function changesOf(base: ProfileFile, fitted: ProfileFile): string {
  const rows = changedConstants(base, fitted).map(({ path: name, before, after }) => [
    name,
    formatNumber(before),
    formatNumber(after),
  ]);
  if (rows.length === 0) return `profile "${base.name}" as it is`;
  return textTable([['constant', 'before', 'fitted'], ...rows], [1, 2]);
}

function percent(share: number): string {
  return `${formatFixed(share * 100, 1)} %`;
}
