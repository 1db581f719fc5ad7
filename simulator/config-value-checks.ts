import { ATTENTION_BACKENDS, type Backends, PREFILL_BACKENDS } from './attention-backends.js';
import { EngineConfigError } from './engine-config-error.js';
import { isJsonObject, type Problem } from './http/pydantic-report.js';
import { pythonRepr, pythonType } from './http/python-text.js';
import { listed } from './python-types.js';

const COMPILATION_MODES = ['NONE', 'STOCK_TORCH_COMPILE', 'DYNAMO_TRACE_ONCE', 'VLLM_COMPILE'];
const CUDAGRAPH_MODES = ['NONE', 'PIECEWISE', 'FULL', 'FULL_DECODE_ONLY', 'FULL_AND_PIECEWISE'];
const DYNAMIC_SHAPES = ['backed', 'unbacked', 'backed_size_oblivious'];
const CACHE_GROUP_KINDS =
  'chunked_local_attention, cross_attention, encoder_only_attention, full_attention, mamba, mla_attention, sink_full_attention, sliding_window, sliding_window_mla, unknown'.split(
    ', ',
  );
const QUANTIZATION_NAMES =
  'fp8_per_block_dynamic, fp8_per_block_static, fp8_per_channel_static, fp8_per_tensor_dynamic, fp8_per_tensor_static, fp8_per_token, int8_per_channel_static, mxfp4, mxfp8'.split(
    ', ',
  );
const SHORTHANDS = ['fp8_per_tensor', 'fp8_per_block', 'fp8_per_channel', 'mxfp8'];
const MOE_SHORTHANDS = ['int8_per_channel_weight_only', 'nvfp4_per_token'];

type ValueCheck = (key: string, input: unknown) => readonly Problem[];

/** Fields of vLLM 0.26's classes that check their value themselves, by the names of their types. */
export const VALUE_CHECKS: Readonly<Record<string, ValueCheck>> = {
  'path?': pathProblems,
  'compilation-mode': compilationMode,
  'cudagraph-mode': cudagraphMode,
  'dynamic-shapes': (key, input) =>
    DYNAMIC_SHAPES.some((one) => one === input)
      ? []
      : [enumProblem(key, input, listed(DYNAMIC_SHAPES.map(pythonRepr)))],
  'attention-backend': (key, input) =>
    typeof input === 'string' && input.toLowerCase() === 'auto'
      ? []
      : backendProblems(key, input, 'attention', ATTENTION_BACKENDS),
  'mla-prefill-backend': (key, input) => backendProblems(key, input, 'MLA prefill', PREFILL_BACKENDS),
  'backend-per-kind': backendsPerKind,
  'kernel-order': kernelOrder,
  'quantization-name': quantizationName,
};

function pathProblems(key: string, input: unknown): readonly Problem[] {
  if (input === null || typeof input === 'string') return [];
  const message = "Input is not a valid path for <class 'pathlib.Path'>";
  return [{ key, type: 'path_type', message, input, isOwn: true }];
}

function valueError(key: string, text: string, input: unknown): Problem {
  return { key, type: 'value_error', message: `Value error, ${text}`, input };
}

function enumProblem(key: string, input: unknown, shown: string): Problem {
  return { key, type: 'enum', message: `Input should be ${shown}`, input };
}

/** A number, or its name in any case. */
function compilationMode(key: string, input: unknown): readonly Problem[] {
  if (typeof input !== 'string') return isOneOf(input, [0, 1, 2, 3]) ? [] : [enumProblem(key, input, '0, 1, 2 or 3')];
  if (COMPILATION_MODES.includes(input.toUpperCase())) return [];
  return [
    valueError(key, `Invalid compilation mode: ${input}. Valid modes are: ${COMPILATION_MODES.join(', ')}`, input),
  ];
}

/** @throws EngineConfigError for an unknown name, which vLLM looks up without a check */
function cudagraphMode(key: string, input: unknown): readonly Problem[] {
  if (typeof input !== 'string') {
    return isOneOf(input, [0, 1, 2]) ? [] : [enumProblem(key, input, '0, 1, 2, (2, 0) or (2, 1)')];
  }
  const name = input.toUpperCase();
  if (!CUDAGRAPH_MODES.includes(name)) throw new EngineConfigError(`'${name}'`, 'KeyError');
  return [];
}

/** Or null. In Python, True is 1. */
function isOneOf(input: unknown, values: readonly number[]): boolean {
  return input === null || values.some((value) => value === (typeof input === 'boolean' ? Number(input) : input));
}

/** A name in any case. */
function backendProblems(key: string, input: unknown, what: string, backends: Backends): readonly Problem[] {
  if (input === null) return [];
  if (typeof input !== 'string') return [enumProblem(key, input, listed(Object.values(backends).map(pythonRepr)))];
  const unknown = unknownBackend(input, what, backends);
  return unknown === null ? [] : [valueError(key, unknown, input)];
}

function unknownBackend(name: string, what: string, backends: Backends): string | null {
  const known = Object.keys(backends);
  if (known.includes(name.toUpperCase())) return null;
  return `Unknown ${what} backend: '${name.toUpperCase()}'. Valid options are: ${known.join(', ')}`;
}

/** Names are looked up, up to the first that is none, before values of other types are looked at. */
function backendsPerKind(key: string, input: unknown): readonly Problem[] {
  if (!isJsonObject(input)) return [{ key, type: 'dict_type', message: 'Input should be an object', input }];
  for (const [kind, backend] of Object.entries(input)) {
    if (!CACHE_GROUP_KINDS.includes(kind)) {
      const known = CACHE_GROUP_KINDS.join(', ');
      const text = `Unknown KV cache group kind '${kind}' in backend_per_kind. Valid kinds are: ${known}.`;
      return [valueError(key, text, input)];
    }
    const unknown = typeof backend === 'string' ? unknownBackend(backend, 'attention', ATTENTION_BACKENDS) : null;
    if (unknown !== null) return [valueError(key, unknown, input)];
  }
  return Object.entries(input).flatMap(([kind, backend]) =>
    backendProblems(`${key}.${kind}`, backend, 'attention', ATTENTION_BACKENDS),
  );
}

/** A list of names, or one text with commas. @throws EngineConfigError for what Python cannot go through */
function kernelOrder(key: string, input: unknown): readonly Problem[] {
  if (typeof input === 'string') return [];
  if (isJsonObject(input)) return [{ key, type: 'list_type', message: 'Input should be a valid array', input }];
  if (!Array.isArray(input)) throw new EngineConfigError(`'${pythonType(input)}' object is not iterable`, 'TypeError');
  if (input.every((one) => typeof one === 'string')) return [];
  return [{ key, type: 'assertion_error', message: 'Assertion failed, ', input }];
}

/** @throws EngineConfigError for what is no text */
function quantizationName(key: string, input: unknown): readonly Problem[] {
  if (input === null) return [];
  if (typeof input !== 'string') {
    throw new EngineConfigError(`expected str or QuantKey, got ${pythonType(input)}`, 'TypeError');
  }
  if (QUANTIZATION_NAMES.includes(input)) return [];
  const text = `unknown quantization name ${pythonRepr(input)}; expected one of ${pythonRepr(QUANTIZATION_NAMES)}`;
  return [valueError(key, text, input)];
}

/** What a text may stand for in place of a quantisation's own object; `key` is `linear` or `moe`. */
export function quantizationShorthand(key: string, input: string): readonly Problem[] {
  if (SHORTHANDS.includes(input)) return [];
  if (!MOE_SHORTHANDS.includes(input)) return quantizationName(key, input);
  if (key === 'moe') return [];
  return [valueError(key, `online shorthand ${pythonRepr(input)} does not define a ${key} spec`, input)];
}
