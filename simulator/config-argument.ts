import { ArgumentTypeError } from './argparse.js';
import { EngineConfigError } from './engine-config-error.js';
import { isJsonObject, type Problem, pydanticReport } from './http/pydantic-report.js';
import { pydanticJsonError } from './pydantic-json-error.js';
import { type PythonType, readType, typeProblems, type Wording } from './python-types.js';
import { CONFIG_FIELDS } from './vllm-config-fields.js';

type ConfigObject = Readonly<Record<string, unknown>>;

const ROLES = ['kv_producer', 'kv_both', 'kv_consumer'];
const EC_ROLES = ['ec_producer', 'ec_both', 'ec_consumer'];
const COMPILATION_MODES = ['NONE', 'STOCK_TORCH_COMPILE', 'DYNAMO_TRACE_ONCE', 'VLLM_COMPILE'];
const CUDAGRAPH_MODES = ['NONE', 'PIECEWISE', 'FULL', 'FULL_DECODE_ONLY', 'FULL_AND_PIECEWISE'];
const PREFILL_BACKENDS = ['FLASH_ATTN', 'FLASHINFER', 'TRTLLM_RAGGED', 'TOKENSPEED_MLA', 'ROCM_AITER_FA', 'CUSTOM'];
const ATTENTION_BACKENDS =
  'FLASH_ATTN, FLASH_ATTN_DIFFKV, TRITON_ATTN, TRITON_ATTN_DIFFKV, ROCM_ATTN, ROCM_AITER_MLA, ROCM_AITER_TRITON_MLA, ROCM_AITER_FA, ROCM_AITER_MLA_SPARSE, XPU_MLA_SPARSE, TORCH_SDPA, FLASHINFER, FLASHINFER_MLA, TOKENSPEED_MLA, FLASHINFER_MLA_SPARSE, FLASHINFER_MLA_SPARSE_SM120, TRITON_MLA, CUTLASS_MLA, FLASHMLA, FLASHMLA_SPARSE, FLASHMLA_SPARSE_DSV4, FLASHINFER_MLA_SPARSE_DSV4, ROCM_FLASHMLA_SPARSE_DSV4, FLASH_ATTN_MLA, FLASH_ATTN_MLA_SPARSE, MINIMAX_M3_SPARSE, NO_ATTENTION, FLEX_ATTENTION, HPC_ATTN, ROCM_AITER_UNIFIED_ATTN, CPU_ATTN, TURBOQUANT, CUSTOM'.split(
    ', ',
  );
const CLASS_OF = /^@(\w+)/;
const types = new Map<string, PythonType>();

/**
 * A configuration as JSON, by the name of vLLM's class for it.
 * @throws ArgumentTypeError in pydantic's words where it is no JSON, no object, or has a key or a value that the class does
 * not take; EngineConfigError where vLLM's own check of a value fails otherwise.
 */
export function checkConfig(className: string, json: string): ConfigObject {
  const refuse = (problems: readonly Problem[]) => new ArgumentTypeError(pydanticReport(className, problems));
  const error = pydanticJsonError(json);
  if (error !== null) {
    throw refuse([{ key: null, type: 'json_invalid', message: `Invalid JSON: ${error}`, input: json }]);
  }
  const value = parsed(json);
  if (!isJsonObject(value)) throw refuse([noObject(null, value)]);
  const problems = problemsOf(className, value);
  if (problems.length > 0) throw refuse(problems);
  const whole = wholeProblem(className, value);
  if (whole !== null)
    throw refuse([{ key: null, type: 'value_error', message: `Value error, ${whole}`, input: value }]);
  return value;
}

/** pydantic reads NaN and Infinity; nothing here has a use for them. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function noObject(key: string | null, input: unknown): Problem {
  return { key, type: 'dataclass_type', message: 'Input should be an object', input };
}

function problemsOf(className: string, value: ConfigObject, wording: Wording = 'json'): readonly Problem[] {
  const fields = CONFIG_FIELDS[className] ?? {};
  const known = Object.entries(fields).flatMap(([key, type]) =>
    key in value ? fieldProblems(key, type, value[key], wording) : [],
  );
  const unknown = Object.keys(value)
    .filter((key) => !(key in fields))
    .map((key) => ({
      key,
      type: 'unexpected_keyword_argument',
      message: 'Unexpected keyword argument',
      input: value[key],
    }));
  return [...known, ...unknown];
}

function fieldProblems(key: string, type: string, value: unknown, wording: Wording): readonly Problem[] {
  const nested = CLASS_OF.exec(type)?.[1];
  if (nested !== undefined) {
    if (!isJsonObject(value)) return [noObject(key, value)];
    return problemsOf(nested, value).map((problem) => ({ ...problem, key: `${key}.${problem.key}` }));
  }
  switch (type) {
    case 'path?':
      return value === null || typeof value === 'string'
        ? []
        : [
            {
              key,
              type: 'path_type',
              message: "Input is not a valid path for <class 'pathlib.Path'>",
              input: value,
              isOwn: true,
            },
          ];
    case 'compilation-mode':
      return compilationMode(key, value);
    case 'attention-backend':
      return backendProblems(key, value, 'attention', ATTENTION_BACKENDS);
    case 'mla-prefill-backend':
      return backendProblems(key, value, 'MLA prefill', PREFILL_BACKENDS);
    case 'cudagraph-mode':
      return cudagraphMode(key, value);
    default:
      return typeProblems(typeOf(type), value, wording).map(({ location, ...problem }) => ({
        ...problem,
        key: [key, ...location].join('.'),
      }));
  }
}

function typeOf(text: string): PythonType {
  const type = types.get(text) ?? readType(text);
  types.set(text, type);
  return type;
}

/** Names in any case; what is no name is left to the engine, whose list of them is one of Python classes. */
function backendProblems(key: string, input: unknown, what: string, names: readonly string[]): readonly Problem[] {
  if (typeof input !== 'string' || names.includes(input.toUpperCase())) return [];
  const options = `Valid options are: ${names.join(', ')}`;
  const message = `Value error, Unknown ${what} backend: '${input.toUpperCase()}'. ${options}`;
  return [{ key, type: 'value_error', message, input }];
}

/** A number, or its name in any case. */
function compilationMode(key: string, input: unknown): readonly Problem[] {
  if (typeof input !== 'string') return enumProblems(key, input, [0, 1, 2, 3], '0, 1, 2 or 3');
  if (COMPILATION_MODES.includes(input.toUpperCase())) return [];
  const message = `Value error, Invalid compilation mode: ${input}. Valid modes are: ${COMPILATION_MODES.join(', ')}`;
  return [{ key, type: 'value_error', message, input }];
}

/** @throws EngineConfigError for an unknown name, which vLLM looks up without a check */
function cudagraphMode(key: string, input: unknown): readonly Problem[] {
  if (typeof input !== 'string') return enumProblems(key, input, [0, 1, 2], '0, 1, 2, (2, 0) or (2, 1)');
  const name = input.toUpperCase();
  if (!CUDAGRAPH_MODES.includes(name)) throw new EngineConfigError(`'${name}'`, 'KeyError');
  return [];
}

function enumProblems(key: string, input: unknown, values: readonly number[], shown: string): readonly Problem[] {
  if (
    input === null ||
    values.includes(typeof input === 'boolean' ? Number(input) : Number(typeof input === 'number' ? input : Number.NaN))
  )
    return [];
  return [{ key, type: 'enum', message: `Input should be ${shown}`, input }];
}

/** What vLLM's class finds in the whole of it, once each value is of its type. */
function wholeProblem(className: string, value: ConfigObject): string | null {
  switch (className) {
    case 'KVTransferConfig':
      return roleProblem(value, 'kv', ROLES);
    case 'ECTransferConfig':
      return roleProblem(value, 'ec', EC_ROLES);
    case 'StructuredOutputsConfig': {
      const backend = String(value.backend ?? 'auto');
      if (value.disable_any_whitespace === true && !['xgrammar', 'guidance'].includes(backend)) {
        return 'disable_any_whitespace is only supported for xgrammar and guidance backends.';
      }
      const isRefused = value.disable_additional_properties === true && backend !== 'guidance';
      return isRefused ? 'disable_additional_properties is only supported for the guidance backend.' : null;
    }
    default:
      return null;
  }
}

function roleProblem(value: ConfigObject, prefix: 'kv' | 'ec', roles: readonly string[]): string | null {
  const hasConnector = (value[`${prefix}_connector`] ?? null) !== null;
  if (!hasConnector || (value[`${prefix}_role`] ?? null) !== null) return null;
  const shown = roles.map((role) => `'${role}'`).join(', ');
  return `Please specify ${prefix}_role when ${prefix}_connector is set, supported roles are (${shown})`;
}

/**
 * A speculative configuration, which vLLM looks at only when the engine is made.
 * @throws EngineConfigError in pydantic's words
 */
export function checkSpeculativeConfig(given: ConfigObject): void {
  const value = Object.fromEntries(Object.entries(given).map(([key, item]) => [key.replaceAll('-', '_'), item]));
  const problems = problemsOf('SpeculativeConfig', value, 'python');
  if (problems.length === 0) return;
  throw new EngineConfigError(
    pydanticReport('SpeculativeConfig', problems),
    'pydantic_core._pydantic_core.ValidationError',
  );
}
