import type { ModelShape } from './contracts.js';
import type { ProfileFile } from './profile-schema.js';

const BYTES_PER_WEIGHT = 2;

/** Seconds that a model's matrix products take on the GPU, by the rows (tokens) that go through them. */
export interface MatmulTime {
  /** Of all layers. */
  layersSeconds(rows: number): number;
  /** Of the output head. */
  headSeconds(rows: number): number;
}

/** One weight matrix of a GPU: `depth` numbers are multiplied and summed for each of `columns` results. */
interface Matrix {
  readonly depth: number;
  readonly columns: number;
}

type StepConstants = ProfileFile['step'];
type Tiles = NonNullable<StepConstants['tiles']>;

/** @throws Error for a profile that has neither efficiencies nor tiles. */
export function createMatmulTime(step: StepConstants, model: ModelShape, gpus: number): MatmulTime {
  if (step.tiles !== undefined) return tiledTime(step.tiles, model, gpus);
  const { gemmEfficiency, weightEfficiency } = step;
  if (gemmEfficiency === undefined || weightEfficiency === undefined) {
    throw new Error('a profile needs "step.gemmEfficiency" and "step.weightEfficiency", or "step.tiles"');
  }
  const flops = step.peakFlops.value * gpus * gemmEfficiency.value;
  const bandwidth = step.memoryBytesPerSecond.value * gpus * weightEfficiency.value;
  const layerSecondsPerRow = (2 * model.layerParameters) / flops;
  const layerWeightSeconds = ((model.bytesPerLayerWeight ?? BYTES_PER_WEIGHT) * model.layerParameters) / bandwidth;
  const headParameters = model.vocabularySize * model.hiddenSize;
  const headSecondsPerRow = (2 * headParameters) / flops;
  const headWeightSeconds = (BYTES_PER_WEIGHT * headParameters) / bandwidth;
  return {
    layersSeconds: (rows) => ((rows * layerSecondsPerRow) ** 4 + layerWeightSeconds ** 4) ** 0.25,
    headSeconds: (rows) => Math.max(rows * headSecondsPerRow, headWeightSeconds),
  };
}

/**
 * A kernel that gives one size of tile to every product, whatever the number of rows, so that results do not depend on
 * it (vLLM's `matmul_persistent`: 128 x 128, in rounds over the multiprocessors). A tile takes as long as it is deep, with
 * one row or with 128, and even longer with few: a step of 6 tokens was recorded to last 22 ms where one of 102 took 15.
 */
function tiledTime(tiles: Tiles, model: ModelShape, gpus: number): MatmulTime {
  const { hiddenSize, intermediateSize, attentionHeads, kvHeads, headSize } = model;
  const heads = attentionHeads * headSize;
  const layer: readonly Matrix[] = [
    { depth: hiddenSize, columns: (heads + 2 * kvHeads * headSize) / gpus },
    { depth: heads / gpus, columns: hiddenSize },
    { depth: hiddenSize, columns: (2 * intermediateSize) / gpus },
    { depth: intermediateSize / gpus, columns: hiddenSize },
  ];
  const head: Matrix = { depth: hiddenSize, columns: model.vocabularySize / gpus };
  const seconds = (rows: number, { depth, columns }: Matrix): number => {
    const rowTiles = Math.ceil(rows / tiles.rows.value);
    const rounds = Math.ceil((rowTiles * Math.ceil(columns / tiles.columns.value)) / tiles.multiprocessors.value);
    const empty = 1 - rows / (rowTiles * tiles.rows.value);
    return rounds * depth * (tiles.secondsPerDepth.value + empty * tiles.emptyRowsSecondsPerDepth.value);
  };
  return {
    layersSeconds: (rows) => model.layers * layer.reduce((sum, matrix) => sum + seconds(rows, matrix), 0),
    headSeconds: (rows) => seconds(rows, head),
  };
}
