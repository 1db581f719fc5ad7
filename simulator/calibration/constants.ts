import { type ProfileFile, profileFileSchema } from '../profile-schema.js';

/** Constants that a fit may move: path in the profile file, and how far (in powers of e) is one standard step. */
export interface FreeConstant {
  readonly path: string;
  readonly scale: number;
}

/** Shown by an idle engine without LMCache: prompts and decode steps. */
const QUIET_CONSTANTS: readonly FreeConstant[] = [
  { path: 'step.gemmEfficiency', scale: 0.15 },
  { path: 'step.attentionEfficiency', scale: 0.15 },
  { path: 'step.sustainedPrefill.slowdown', scale: 0.3 },
  { path: 'step.layerSeconds', scale: 0.4 },
  { path: 'step.hostLayerSeconds', scale: 0.3 },
  { path: 'step.prefillStepSeconds', scale: 1 },
  { path: 'step.requestSeconds', scale: 0.5 },
  { path: 'api.requestSeconds', scale: 0.4 },
  { path: 'api.distinctTokenSeconds', scale: 0.3 },
  { path: 'api.idTokenSeconds', scale: 0.3 },
];

/** Shown by an idle engine with LMCache, beside one without. */
const CONNECTOR_CONSTANTS: readonly FreeConstant[] = [
  { path: 'connector.lookupSeconds', scale: 0.5 },
  { path: 'connector.foundTokenSeconds', scale: 0.4 },
  { path: 'connector.prefillStepSeconds', scale: 0.4 },
  { path: 'connector.requestStepSeconds', scale: 0.5 },
  { path: 'connector.storeDragBytesPerSecond', scale: 0.5 },
  { path: 'transfer.loadBytesPerSecond', scale: 0.3 },
  { path: 'transfer.loadOverheadSeconds', scale: 0.7 },
];

/** Shown by decode steps and rounds. */
const DECODE_CONSTANTS: readonly FreeConstant[] = [
  { path: 'step.weightEfficiency', scale: 0.02 },
  { path: 'step.tiles.secondsPerDepth', scale: 0.1 },
  { path: 'step.tiles.emptyRowsSecondsPerDepth', scale: 0.2 },
  { path: 'step.sequenceKvBytesPerSecond', scale: 0.1 },
];

/**
 * What rounds have a say in: decoding of long contexts together, prefill without a pause, and how fast a GPU computes that
 * is neither idle before nor hot.
 */
export const LOADED_CONSTANTS: readonly string[] = [
  'step.gemmEfficiency',
  'step.tiles.secondsPerDepth',
  'step.sustainedPrefill.slowdown',
  'step.weightEfficiency',
  'step.sequenceKvBytesPerSecond',
];

/** What is fitted, unless something else is asked for. */
export const FITTED_CONSTANTS: readonly FreeConstant[] = [
  ...QUIET_CONSTANTS,
  ...DECODE_CONSTANTS,
  ...CONNECTOR_CONSTANTS,
];

/** Standard step of a constant that is not among FITTED_CONSTANTS. */
const USUAL_SCALE = 0.3;

/** Constants of a profile by their paths. @throws Error for a path without a number above 0. */
export function constantsOf(file: ProfileFile, paths: readonly string[]): readonly FreeConstant[] {
  return paths.map((path) => {
    const value = constantAt(file, path);
    if (value !== null && value > 0) {
      return FITTED_CONSTANTS.find((known) => known.path === path) ?? { path, scale: USUAL_SCALE };
    }
    const why = value === null ? 'has no constant' : 'cannot be fitted at its 0:';
    throw new Error(
      `profile "${file.name}" ${why} "${path}"; fitted by default are ${FITTED_CONSTANTS.map((known) => known.path).join(', ')}`,
    );
  });
}

/** The number at a path of a profile file; null where there is none. */
export function constantAt(file: ProfileFile, path: string): number | null {
  let node: unknown = file;
  for (const key of path.split('.')) node = isRecord(node) ? node[key] : undefined;
  return isRecord(node) && typeof node.value === 'number' ? node.value : null;
}

/** Of these constants the ones that differ between two files. */
export function changedConstants(
  constants: readonly FreeConstant[],
  before: ProfileFile,
  after: ProfileFile,
): readonly { readonly path: string; readonly before: number; readonly after: number }[] {
  return constants.flatMap(({ path }) => {
    const [from, to] = [constantAt(before, path), constantAt(after, path)];
    return from === null || to === null || from === to ? [] : [{ path, before: from, after: to }];
  });
}

/** The file with other numbers at some paths, each with its source. */
export function withConstants(file: ProfileFile, values: ReadonlyMap<string, number>, source: string): ProfileFile {
  const changed: unknown = structuredClone(file);
  for (const [path, value] of values) {
    const keys = path.split('.');
    let node: unknown = changed;
    for (const key of keys) node = isRecord(node) ? node[key] : undefined;
    if (!isRecord(node)) throw new Error(`the profile has no constant "${path}"`);
    Object.assign(node, { value, source });
  }
  return profileFileSchema.parse(changed);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
