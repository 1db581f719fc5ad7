import { ArgumentTypeError } from './argparse.js';
import { isJsonObject, type Problem, pydanticReport } from './http/pydantic-report.js';
import { pydanticJsonError } from './pydantic-json-error.js';
import { CONFIG_KEYS } from './vllm-config-keys.js';

type Check = (value: unknown) => Pick<Problem, 'type' | 'message'> | null;
type ConfigObject = Readonly<Record<string, unknown>>;

const ROLES = ['kv_producer', 'kv_both', 'kv_consumer'];
const text: Check = (value) =>
  typeof value === 'string' ? null : { type: 'string_type', message: 'Input should be a valid string' };
const oneOf =
  (...allowed: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && allowed.includes(value)
      ? null
      : { type: 'literal_error', message: `Input should be ${listed(allowed)}` };
const optional =
  (check: Check): Check =>
  (value) =>
    value === null ? null : check(value);

/** Types of what the connector's configuration holds; of other classes only the keys are known. */
const KV_TRANSFER_CHECKS: Readonly<Record<string, Check>> = {
  kv_connector: optional(text),
  engine_id: optional(text),
  kv_buffer_device: text,
  kv_buffer_size: number,
  kv_role: optional(oneOf(...ROLES)),
  kv_rank: optional(integer),
  kv_parallel_size: integer,
  kv_ip: text,
  kv_port: integer,
  kv_connector_extra_config: (value) =>
    isJsonObject(value) ? null : { type: 'dict_type', message: 'Input should be an object' },
  kv_connector_module_path: optional(text),
  kv_load_failure_policy: oneOf('recompute', 'fail'),
};

/**
 * A configuration as JSON, by the name of vLLM's class for it.
 * @throws ArgumentTypeError in pydantic's words where it is no JSON, no object, or has a key that the class lacks.
 */
export function checkConfig(className: string, json: string): ConfigObject {
  const refuse = (problems: readonly Problem[]) => new ArgumentTypeError(pydanticReport(className, problems));
  const error = pydanticJsonError(json);
  if (error !== null) {
    throw refuse([{ key: null, type: 'json_invalid', message: `Invalid JSON: ${error}`, input: json }]);
  }
  const value = parsed(json);
  if (!isJsonObject(value)) {
    throw refuse([{ key: null, type: 'dataclass_type', message: 'Input should be an object', input: value }]);
  }
  const problems = problemsOf(className, value);
  if (problems.length > 0) throw refuse(problems);
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

function problemsOf(className: string, value: ConfigObject): readonly Problem[] {
  const keys = CONFIG_KEYS[className] ?? [];
  const isConnector = className === 'KVTransferConfig';
  const known = keys.flatMap((key): Problem[] => {
    if (!isConnector || !(key in value)) return [];
    const found = KV_TRANSFER_CHECKS[key]?.(value[key]) ?? null;
    return found === null ? [] : [{ key, ...found, input: value[key] }];
  });
  const unknown = Object.keys(value)
    .filter((key) => !keys.includes(key))
    .map((key) => ({
      key,
      type: 'unexpected_keyword_argument',
      message: 'Unexpected keyword argument',
      input: value[key],
    }));
  const problems = [...known, ...unknown];
  if (problems.length > 0 || !isConnector) return problems;
  if ((value.kv_connector ?? null) === null || (value.kv_role ?? null) !== null) return [];
  const roles = ROLES.map((role) => `'${role}'`).join(', ');
  const message = `Value error, Please specify kv_role when kv_connector is set, supported roles are (${roles})`;
  return [{ key: null, type: 'value_error', message, input: value }];
}

function integer(value: unknown): ReturnType<Check> {
  if (typeof value === 'number') {
    return Number.isInteger(value)
      ? null
      : {
          type: 'int_from_float',
          message: 'Input should be a valid integer, got a number with a fractional part',
        };
  }
  if (typeof value !== 'string') return { type: 'int_type', message: 'Input should be a valid integer' };
  return /^\s*[+-]?\d+\s*$/.test(value)
    ? null
    : { type: 'int_parsing', message: 'Input should be a valid integer, unable to parse string as an integer' };
}

function number(value: unknown): ReturnType<Check> {
  if (typeof value === 'number') return null;
  if (typeof value !== 'string') return { type: 'float_type', message: 'Input should be a valid number' };
  return value.trim() !== '' && !Number.isNaN(Number(value))
    ? null
    : { type: 'float_parsing', message: 'Input should be a valid number, unable to parse string as a number' };
}

function listed(allowed: readonly string[]): string {
  const quoted = allowed.map((one) => `'${one}'`);
  return `${quoted.slice(0, -1).join(', ')} or ${quoted[quoted.length - 1]}`;
}
