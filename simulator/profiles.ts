import type { ModelShape, Profile } from './contracts.js';
import { builtInProfile, profileNames, readProfileFile } from './profile-files.js';
import type { ProfileFile } from './profile-schema.js';
import modelTable from './profiles/models.json' with { type: 'json' };
import { createStepTimeModel } from './step-time.js';

/** Names of the same shape: "Qwen3-14B", "Qwen3-14B-Instruct-v0.3", ... */
const SAME_SHAPE_SUFFIX = /^(-(instruct|base|chat|it|v\d+(\.\d+)*|\d{4}))*$/;

/** SIM_PROFILE names no profile. */
export class UnknownProfileError extends Error {
  override readonly name = 'UnknownProfileError';
}

/**
 * The profile of a GPU, an engine version and a kernel mode.
 * @param name one that comes with the simulator, or the path of a profile file.
 * @throws UnknownProfileError with the known names, or with what is wrong in the file.
 */
export function loadProfile(name: string): Profile {
  return profileOf(profileFile(name));
}

/** The constants themselves. @throws UnknownProfileError as `loadProfile`. */
export function profileFile(name: string): ProfileFile {
  if (/[/\\]|[.]json$/.test(name)) {
    try {
      return readProfileFile(name);
    } catch (error) {
      throw new UnknownProfileError(error instanceof Error ? error.message : String(error));
    }
  }
  const found = builtInProfile(name);
  if (found !== undefined) return found;
  const near = nearest(name, profileNames);
  const hint = near === null ? '' : ` Did you mean "${near}"?`;
  throw new UnknownProfileError(`unknown profile "${name}".${hint} Known profiles: ${profileNames.join(', ')}.`);
}

/** What a profile's constants make of it. */
export function profileOf(file: ProfileFile): Profile {
  return {
    name: file.name,
    gpu: file.gpu,
    gpuMemoryGiB: file.gpuMemoryGiB.value,
    engineVersion: file.engineVersion,
    lmcacheVersion: file.lmcacheVersion,
    kernels: file.kernels,
    models: modelTable.models,
    blockTokens: file.blockTokens.value,
    maxNumBatchedTokens: file.maxNumBatchedTokens.value,
    maxNumSeqs: file.maxNumSeqs.value,
    loadSeconds: { engine: file.loadSeconds.engine.value, lmcacheServer: file.loadSeconds.lmcacheServer.value },
    transfer: {
      loadBytesPerSecond: file.transfer.loadBytesPerSecond.value,
      storeBytesPerSecond: file.transfer.storeBytesPerSecond.value,
      loadOverheadSeconds: file.transfer.loadOverheadSeconds.value,
      loadScatter: file.transfer.loadScatter.value,
      loadSlowdownBesideSteps: file.transfer.loadSlowdownBesideSteps.value,
    },
    model: findModel,
    stepTime: (model, options) =>
      createStepTimeModel(file, typeof model === 'string' ? findModel(model) : model, options),
  };
}

function findModel(modelName: string): ModelShape {
  const wanted = baseName(modelName);
  const found = modelTable.models.find((model) => {
    const known = baseName(model.name);
    return wanted.startsWith(known) && SAME_SHAPE_SUFFIX.test(wanted.slice(known.length));
  });
  if (found !== undefined) return found;
  const names = modelTable.models.map((model) => model.name);
  const near = nearest(wanted, names.map(baseName));
  const hint = near === null ? '' : ` Did you mean "${names.find((name) => baseName(name) === near)}"?`;
  throw new Error(`the simulator has no shape of the model "${modelName}".${hint} Known models: ${names.join(', ')}.`);
}

function baseName(modelName: string): string {
  return (modelName.replace(/\/+$/, '').split('/').at(-1) ?? modelName).toLowerCase().replace(/^meta-llama-/, 'llama-');
}

/** The candidate at an edit distance of at most a third of the word, or null. */
function nearest(word: string, candidates: readonly string[]): string | null {
  let best: { candidate: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (best === null || distance < best.distance) best = { candidate, distance };
  }
  return best !== null && best.distance <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : null;
}

function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
