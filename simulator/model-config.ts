import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { contextLength } from './context-length.js';
import type { ModelShape } from './contracts.js';
import { isJsonObject } from './http/pydantic-report.js';

const BYTES_PER_VALUE = 2;
const configSchema = z.looseObject({
  num_hidden_layers: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_key_value_heads: z.number().int().positive().nullish(),
  head_dim: z.number().int().positive().nullish(),
  hidden_size: z.number().int().positive(),
  intermediate_size: z.number().int().positive(),
  vocab_size: z.number().int().positive(),
  max_position_embeddings: z.number().int().positive(),
  tie_word_embeddings: z.boolean().nullish(),
});

/** Of --hf-overrides: fields of the config.json with other values. */
type Overrides = Readonly<Record<string, unknown>>;

/**
 * The shape of a dense decoder from the config.json in its folder; null when there is no such file.
 * @throws Error naming the file and the field, e.g. for a model that is not dense; EngineConfigError
 */
export function shapeFromFolder(folder: string, overrides: Overrides = {}): ModelShape | null {
  const file = join(folder, 'config.json');
  if (!existsSync(file)) return null;
  const own: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const parsed = configSchema.safeParse(isJsonObject(own) ? { ...own, ...overrides } : own);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`the simulator cannot read a shape from "${file}": "${issue?.path.join('.')}" ${issue?.message}`);
  }
  const config = parsed.data;
  const kvHeads = config.num_key_value_heads ?? config.num_attention_heads;
  const headSize = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const attention = config.hidden_size * headSize * (2 * config.num_attention_heads + 2 * kvHeads);
  return {
    name: folder,
    layers: config.num_hidden_layers,
    attentionHeads: config.num_attention_heads,
    kvHeads,
    headSize,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    vocabularySize: config.vocab_size,
    layerParameters: config.num_hidden_layers * (attention + 3 * config.hidden_size * config.intermediate_size),
    kvBytesPerToken: 2 * kvHeads * headSize * BYTES_PER_VALUE * config.num_hidden_layers,
    maxModelLen: contextLength(isJsonObject(own) ? own : {}, overrides),
    ...(config.tie_word_embeddings ? { tiedEmbeddings: true } : {}),
  };
}

/** A shape that is known by name, with what the overrides say of its layers and its context. @throws EngineConfigError */
export function overriddenShape(shape: ModelShape, overrides: Overrides): ModelShape {
  const given = overrides.num_hidden_layers;
  const layers = typeof given === 'number' && Number.isInteger(given) && given > 0 ? given : shape.layers;
  return {
    ...shape,
    layers,
    layerParameters: shape.layerParameters * (layers / shape.layers),
    kvBytesPerToken: Math.round(shape.kvBytesPerToken * (layers / shape.layers)),
    maxModelLen: contextLength({ max_position_embeddings: shape.maxModelLen }, overrides),
  };
}
