import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { compare } from '../../simulator/calibration/compare.js';
import { changedConstants, constantsOf, FITTED_CONSTANTS } from '../../simulator/calibration/constants.js';
import { type ComparedRecording, crossValidate } from '../../simulator/calibration/cross-validate.js';
import { fitProfile } from '../../simulator/calibration/fit.js';
import { leftOut, openRecordings, type Recording } from '../../simulator/calibration/recording.js';
import { profileFile, profileOf } from '../../simulator/profiles.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';
import { describeCases, describeChanges, describeCrossValidation, describeErrors } from './calibration-tables.js';

/**
 * `lmcache-ci simulate calibrate RECORDINGS`: fits a profile's constants to recordings of real engines and says how far
 * its predictions are off, on the cases it was fitted on and on those it was not. Exit code 0 when it could tell.
 */
export const simulateCalibrateCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        "$0 simulate calibrate <recordings..> [options]\n\nFits the simulator's constants to recordings of real engines, and says how far its predictions are off. Files of one folder are one recording; each recording counts the same.",
      )
      .positional('recordings', {
        type: 'string',
        array: true,
        demandOption: true,
        describe:
          'Folders or files: single-, ids-, decode-, arrivals-, longdoc-, bench-*.csv[.gz], or CSVs of cases; PATH:MODEL where models differ',
      })
      .option('profile', { type: 'string', default: 'h200', describe: 'Where the constants begin: name or file' })
      .option('model', {
        type: 'string',
        describe: 'Model that was recorded: name or folder [default: what recording.json says, or Qwen/Qwen3-14B]',
      })
      .option('constants', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'Fit these alone: step.gemmEfficiency,api.requestSeconds [default: all that the recordings show]',
      })
      .option('leave-out', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'A recording that is compared, and not fitted on (repeatable)',
      })
      .option('cross-validate', {
        type: 'boolean',
        default: false,
        describe: 'Also leave out one recording after the other: how well the others predict it',
      })
      .option('name', { type: 'string', describe: 'Name of the new profile [default: that of its file]' })
      .option('out', { type: 'string', describe: 'Profile file to write [default: none]' })
      .option('fit', { type: 'boolean', default: true, describe: 'Fit; --no-fit only compares the profile as it is' })
      .example('$0 simulate calibrate recordings --out mine.json', 'fit, report, write mine.json')
      .example('$0 simulate calibrate h200 a/qwen3-8b:Qwen/Qwen3-8B --cross-validate', 'two recordings together')
      .example('$0 simulate calibrate recordings --no-fit --profile mine.json', 'how good is a profile?')
      .epilogue(describeExitCodes({ 0: 'told', 2: 'a recording or a profile that is not what it should be' }));
  },
  async run(parsed) {
    const base = asUsage(() => profileFile(String(parsed['profile'])));
    const isFitted = parsed['fit'] === true;
    const chosen = listOf(parsed['constants']).flatMap((text) => text.split(',').map((word) => word.trim()));
    const constants =
      chosen.length === 0 ? FITTED_CONSTANTS : asUsage(() => constantsOf(base, chosen), '--constants: ');
    const recordings = asUsage(() => recordingsOf(parsed, base));
    const isCrossValidated = parsed['crossValidate'] === true;
    if (isCrossValidated && (!isFitted || recordings.length < 2)) {
      throw new UsageError(
        '--cross-validate fits on all recordings but one: it takes two or more, and not --no-fit.\nNothing was started.',
      );
    }
    warnOfSimulated(recordings);
    const fitted = isFitted ? await fitProfile(base, recordings, constants, sourceOf(recordings)) : base;
    const all: ComparedRecording[] = [];
    for (const recording of recordings) {
      const comparisons = await compare(recording.predictedBy(profileOf(fitted)), recording.cases);
      all.push({ recording, comparisons });
    }
    print(
      describeCases(all),
      describeErrors(all),
      describeChanges(base.name, changedConstants(constants, base, fitted)),
    );
    if (isCrossValidated) {
      print(describeCrossValidation(await crossValidate(base, recordings, constants)));
    }
    const out = typeof parsed['out'] === 'string' ? parsed['out'] : null;
    if (out !== null) {
      const name = typeof parsed['name'] === 'string' ? parsed['name'] : path.basename(out, '.json');
      writeFileSync(out, `${JSON.stringify({ ...fitted, name }, null, 2)}\n`);
      print(`wrote "${out}"; use it with SIM_PROFILE=${path.resolve(out)}`);
    }
    return 0;
  },
};

/** What is compared: what is fitted on, and what `--leave-out` names, among the first or not. */
function recordingsOf(
  parsed: Readonly<Record<string, unknown>>,
  base: Parameters<typeof profileOf>[0],
): readonly Recording[] {
  const model = parsed['model'];
  const options = { profile: profileOf(base), ...(typeof model === 'string' ? { model } : {}) };
  const held = listOf(parsed['leaveOut']);
  const heldFolders = new Set(held.length === 0 ? [] : openRecordings(held, options).map(({ folder }) => folder));
  const recordings = openRecordings([...listOf(parsed['recordings']), ...held], options);
  return recordings.map((recording) => (heldFolders.has(recording.folder) ? leftOut(recording) : recording));
}

function sourceOf(recordings: readonly Recording[]): string {
  const used = recordings.filter(({ cases }) => cases.some(({ part }) => part === 'training'));
  const count = used.flatMap(({ cases }) => cases.filter(({ part }) => part === 'training')).length;
  const names = used.map(({ name, simulatedBy }) => (simulatedBy === null ? name : `${name} (SIMULATED)`));
  return `fitted by \`simulate calibrate\` to ${count} recorded cases of ${names.join(', ')}, each recording counting the same: every other prompt length and batch size, the long-document warm-up and the bench of engines without LMCache`;
}

function warnOfSimulated(recordings: readonly Recording[]): void {
  for (const { name, simulatedBy } of recordings) {
    if (simulatedBy === null) continue;
    process.stderr.write(
      `WARNING: "${name}" was recorded from a SIMULATOR (profile "${simulatedBy}"), not from hardware: constants fitted to it, and errors against it, say nothing of a real engine.\n`,
    );
  }
}

function print(...parts: readonly string[]): void {
  process.stdout.write(`${parts.join('\n\n')}\n\n`);
}

function listOf(given: unknown): readonly string[] {
  return given === undefined ? [] : [given].flat().map(String);
}

function asUsage<T>(make: () => T, origin = ''): T {
  try {
    return make();
  } catch (error) {
    throw new UsageError(`${origin}${error instanceof Error ? error.message : String(error)}`);
  }
}
