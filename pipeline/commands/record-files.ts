import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { namingFile } from '../../results-schema/file-trouble.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { writeWholeSync } from '../../results-schema/whole-file.js';
import { blockCountsOf, DESCRIPTION, readDescription, simulatorOf } from '../../simulator/calibration/description.js';
import type { RecordedEngine } from '../../workloads/recording/recording-session.js';
import type { SimulatedBy } from '../../workloads/target.js';
import { UsageError } from '../usage-error.js';

/** What one call has recorded. */
export interface RecordingEntry {
  readonly model: string;
  readonly engine: RecordedEngine;
  /** Blocks of KV that the engine has; null: it does not tell. */
  readonly numGpuBlocks: number | null;
  readonly simulated: SimulatedBy | null;
  /** When the call began; tells calls apart. */
  readonly date: string;
  /** All else that is worth knowing. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A CSV that is being recorded: it is there from its first rows on, and holds whole rows whatever happens. */
export class RowFile {
  readonly name: string;
  readonly #path: string;
  readonly #header: string;
  readonly #beforeFirst: () => void;
  #handle: number | null = null;
  rows = 0;

  /** @param beforeFirst called ahead of the first rows */
  constructor(folder: string, name: string, header: string, beforeFirst: () => void) {
    this.name = name;
    this.#path = path.join(folder, name);
    this.#header = header;
    this.#beforeFirst = beforeFirst;
  }

  /**
   * All of these rows, or none of them.
   * @param lines with their ends
   * @throws the file system's error, naming the file
   */
  add(lines: readonly string[]): void {
    if (lines.length === 0) return;
    if (this.#handle === null) this.#beforeFirst();
    try {
      this.#handle ??= openSync(this.#path, 'wx');
      const { size } = fstatSync(this.#handle);
      try {
        writeFileSync(this.#handle, [...(this.rows === 0 ? [`${this.#header}\n`] : []), ...lines].join(''));
      } catch (error) {
        ftruncateSync(this.#handle, size);
        throw error;
      }
    } catch (error) {
      throw namingFile(error, this.#path);
    }
    this.rows += lines.length;
  }

  close(): void {
    if (this.#handle === null) return;
    closeSync(this.#handle);
    if (this.rows === 0) rmSync(this.#path, { force: true });
  }
}

/**
 * Makes the folder.
 * @param names of the files that will be made
 * @throws UsageError where one is there already, or the folder cannot be made
 */
export function openRecordingFolder(folder: string, names: readonly string[]): void {
  const taken = names.filter((name) => existsSync(path.join(folder, name)));
  if (taken.length > 0) {
    throw new UsageError(
      `--out "${folder}" holds ${taken.map((name) => `"${name}"`).join(', ')} already: name another folder, or remove what is to be recorded anew.\nNothing was started.`,
    );
  }
  try {
    makeFolder(folder);
    readDescription(folder);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--out "${folder}" cannot be used: ${what}\nNothing was started.`);
  }
}

/**
 * A folder is a recording of one model, by real engines or simulated ones.
 * @throws UsageError where it is one of another
 */
export function checkSameRecording(folder: string, entry: Pick<RecordingEntry, 'model' | 'simulated'>): void {
  const { model, recordings = [], ...known } = readDescription(folder);
  const wasSimulated = simulatorOf(known) !== null;
  const another =
    model !== undefined && model !== entry.model
      ? `of "${model}", not of "${entry.model}"`
      : recordings.length > 0 && wasSimulated !== (entry.simulated !== null)
        ? `of ${wasSimulated ? 'simulated' : 'real'} engines, and this one is not`
        : null;
  if (another === null) return;
  throw new UsageError(`--out "${folder}" holds a recording ${another}: name another folder.\nNothing was started.`);
}

/** Says in `recording.json` what the folder is a recording of, with a line for what each call has recorded. */
export function describeRecordingFolder(folder: string, entry: RecordingEntry): void {
  const known = readDescription(folder);
  const { model, engine, numGpuBlocks, simulated, date, facts } = entry;
  const pools = blockCountsOf(known);
  const told = [pools[engine], numGpuBlocks].filter((count) => typeof count === 'number');
  const line = { model, engine, numGpuBlocks, simulated, date, ...facts };
  const others = (known.recordings ?? []).filter((other) => other['date'] !== date);
  const members = [
    ...Object.entries({
      ...known,
      model,
      numGpuBlocks: told.length === 0 ? pools : { ...pools, [engine]: Math.min(...told) },
      simulated,
    })
      .filter(([name]) => name !== 'recordings')
      .map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`),
    `"recordings": [\n${[...others, line].map((own) => `    ${JSON.stringify(own)}`).join(',\n')}\n  ]`,
  ];
  writeWholeSync(path.join(folder, DESCRIPTION), `{\n${members.map((member) => `  ${member}`).join(',\n')}\n}\n`);
}
