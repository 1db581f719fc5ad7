import { EngineConfigError } from './engine-config-error.js';
import { isJsonObject } from './http/pydantic-report.js';
import { pythonFloat } from './http/python-text.js';

type ConfigObject = Readonly<Record<string, unknown>>;

const LENGTH_KEYS = ['max_position_embeddings', 'max_seq_len', 'seq_length', 'max_sequence_length', 'max_seq_length'];
/** Rotary embeddings that are scaled already in what the configuration says. */
const SCALED_ALREADY = ['su', 'longrope', 'llama3'];

/**
 * The longest context in tokens that a model's config.json allows, with what --hf-overrides puts in its place (vLLM 0.26's
 * `derived_max_model_len`): the least of the lengths it names, times the factor of rotary embeddings.
 * @throws EngineConfigError as vLLM for rotary embeddings without a type, or YaRN's without their original length.
 */
export function contextLength(config: ConfigObject, overrides: ConfigObject): number {
  const whole: ConfigObject = { ...config, ...overrides };
  const own = whole.model_max_length;
  const named = typeof own === 'number' ? own : Math.min(...LENGTH_KEYS.flatMap((key) => numberAt(whole, key)));
  return Math.floor(scaled(named, overrides, 'override') ?? scaled(named, config, 'file') ?? named);
}

/** null: nothing is said of rotary embeddings. */
function scaled(length: number, config: ConfigObject, source: 'file' | 'override'): number | null {
  const rope = config.rope_parameters ?? config.rope_scaling;
  if (!isJsonObject(rope) || Object.keys(rope).length === 0) return null;
  // Only in a file the older name is heeded.
  const type = rope.rope_type ?? (source === 'file' ? (rope.type ?? 'default') : undefined);
  if (type === undefined) throw new EngineConfigError("'rope_type'", 'KeyError');
  if (SCALED_ALREADY.some((one) => one === type)) return length;
  const [factor = 1] = numberAt(rope, 'factor');
  if (type !== 'yarn') return length * factor;
  const [original] = numberAt(rope, 'original_max_position_embeddings');
  if (original === undefined) throw new EngineConfigError("'original_max_position_embeddings'", 'KeyError');
  return original * factor;
}

function numberAt(values: ConfigObject, key: string): readonly number[] {
  const value = values[key];
  return typeof value === 'number' ? [value] : [];
}

/** @throws EngineConfigError for more than the model allows, unless the environment allows that too */
export function checkMaxModelLen(asked: number, longest: number, allowsLonger: string | undefined): void {
  if (asked <= longest || /^\s*(1|true)\s*$/i.test(allowsLonger ?? '')) return;
  throw new EngineConfigError(
    `1 validation error for ModelConfig
  Value error, User-specified max_model_len (${asked}) is greater than the derived max_model_len (max_position_embeddings=${pythonFloat(longest)} or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. If the model uses relative position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array out-of-bounds error.`,
    'pydantic_core._pydantic_core.ValidationError',
  );
}
