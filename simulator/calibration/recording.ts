import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import type { ModelShape, Profile } from '../contracts.js';
import { parseL2Adapter } from '../lmcache/l2-adapter.js';
import { shapeFromFolder } from '../model-config.js';
import {
  blockCountsOf,
  DESCRIPTION,
  type Description,
  explained,
  readDescription,
  simulatorOf,
} from './description.js';
import type { PredictedEngine } from './predict.js';
import { isRecordingName, readRecording } from './read-recording.js';
import { type SplitCase, split } from './split.js';

/** What was recorded of one model on one machine. */
export interface Recording {
  /** The folder's path below that of all recordings. */
  readonly name: string;
  readonly folder: string;
  readonly model: ModelShape;
  readonly cases: readonly SplitCase[];
  /** Profile of the simulator that was recorded instead of hardware; null for hardware. */
  readonly simulatedBy: string | null;
  /** The same engine, as a profile predicts it. */
  predictedBy(profile: Profile): PredictedEngine;
}

/** Recorded models that nobody names. */
const USUAL_MODEL = 'Qwen/Qwen3-14B';

/**
 * Recordings by their folders or single files; files of one folder are one recording. `:MODEL` after a path names the
 * model that was recorded, else the folder's `recording.json` does, else it is `model`, or Qwen3-14B.
 * @param profile knows the shapes of models.
 * @throws Error naming the path and what is wrong there, such as a `recording.json` that names another model.
 */
export function openRecordings(
  paths: readonly string[],
  { profile, model }: { readonly profile: Profile; readonly model?: string },
): readonly Recording[] {
  const folders = new Map<string, { files: string[]; model: string | null }>();
  for (const given of paths) {
    const { place, model: named } = splitModel(given);
    const stats = statSync(place, { throwIfNoEntry: false });
    if (stats === undefined) throw new Error(`"${place}" is no recording: there is no such file or folder`);
    const isFolder = stats.isDirectory();
    const folder = isFolder ? place.replace(/(?<=.)\/+$/, '') : path.dirname(place);
    const known = folders.get(folder) ?? { files: [], model: null };
    if (known.model !== null && named !== null && known.model !== named) {
      throw new Error(`"${folder}" is a recording of one model, not of "${known.model}" and "${named}"`);
    }
    const files = isFolder ? filesOf(place) : [place];
    folders.set(folder, { files: [...known.files, ...files], model: named ?? known.model });
  }
  const common = commonParent([...folders.keys()]);
  return [...folders].map(([folder, { files, model: named }]) => {
    const description = readDescription(folder);
    const cases = [...new Set(files)].flatMap((file) => [...readRecording(file)]);
    if (cases.length === 0) throw new Error(`"${folder}" holds no recordings: all requests in it failed`);
    return {
      name: path.relative(common, path.resolve(folder)),
      folder: path.resolve(folder),
      cases: split(cases),
      simulatedBy: simulatorOf(description),
      ...engineOf(description, named ?? modelOf(description, model, folder), profile, folder),
    };
  });
}

function modelOf(description: Description, given: string | undefined, folder: string): string {
  const told = description.model;
  if (told !== undefined && given !== undefined && told !== given) {
    const where = path.join(folder, DESCRIPTION);
    throw new Error(`"${where}" says that "${told}" was recorded, not "${given}"; if it is wrong: ${folder}:${given}`);
  }
  return told ?? given ?? USUAL_MODEL;
}

/** The same recording, of which no case may be fitted on. */
export function leftOut(recording: Recording): Recording {
  return { ...recording, cases: recording.cases.map(({ entry }) => ({ entry, part: 'validation' })) };
}

function engineOf(
  description: Description,
  modelName: string,
  known: Profile,
  folder: string,
): Pick<Recording, 'model' | 'predictedBy'> {
  const model = shapeFromFolder(modelName) ?? known.model(modelName);
  const { l1SizeGb, l2Adapter } = description;
  const openL2 = () => [parseL2Adapter(JSON.stringify(l2Adapter))];
  const hasL2 = l2Adapter !== undefined;
  if (hasL2) explained(`"${path.join(folder, DESCRIPTION)}"`, openL2);
  return {
    model,
    predictedBy: (profile) => ({
      profile,
      model,
      blockCounts: blockCountsOf(description),
      ...(l1SizeGb === undefined ? {} : { l1SizeGib: l1SizeGb }),
      ...(hasL2 ? { l2: openL2 } : {}),
    }),
  };
}

/** A path may hold colons itself; what exists is a path. */
function splitModel(given: string): { readonly place: string; readonly model: string | null } {
  const colon = given.lastIndexOf(':');
  if (existsSync(given) || colon < 0) return { place: given, model: null };
  return { place: given.slice(0, colon), model: given.slice(colon + 1) };
}

/** The deepest folder that holds all these folders. */
function commonParent(folders: readonly string[]): string {
  const [first = [], ...others] = folders.map((folder) => path.dirname(path.resolve(folder)).split(path.sep));
  const same = first.findIndex((part, index) => others.some((parts) => parts[index] !== part));
  return (same < 0 ? first : first.slice(0, same)).join(path.sep) || path.sep;
}

function filesOf(folder: string): readonly string[] {
  const names = readdirSync(folder).filter(isRecordingName).toSorted();
  if (names.length === 0) throw new Error(`"${folder}" holds no recordings: no file like single-lmcache.csv`);
  return names.map((name) => path.join(folder, name));
}
