import { EngineConfigError } from './engine-config-error.js';
import { coerced, readType } from './python-types.js';

type ConfigObject = Readonly<Record<string, unknown>>;
/** What vLLM's class finds wrong with the whole of it, once each value is of its type; null: nothing. */
type WholeCheck = (value: ConfigObject) => string | null;

const BOOL = readType('bool');
const FLOAT = readType('float?');

export const WHOLE_CHECKS: Readonly<Record<string, WholeCheck>> = {
  KVTransferConfig: (value) => roleProblem(value, 'kv'),
  ECTransferConfig: (value) => roleProblem(value, 'ec'),
  StructuredOutputsConfig: structuredOutputs,
  CompilationConfig: compilation,
  PoolerConfig: pooler,
  ProfilerConfig: profiler,
};

function roleProblem(value: ConfigObject, prefix: 'kv' | 'ec'): string | null {
  const hasConnector = (value[`${prefix}_connector`] ?? null) !== null;
  if (!hasConnector || (value[`${prefix}_role`] ?? null) !== null) return null;
  const shown = ['producer', 'both', 'consumer'].map((role) => `'${prefix}_${role}'`).join(', ');
  return `Please specify ${prefix}_role when ${prefix}_connector is set, supported roles are (${shown})`;
}

function structuredOutputs(value: ConfigObject): string | null {
  const backend = String(value.backend ?? 'auto');
  if (value.disable_any_whitespace === true && !['xgrammar', 'guidance'].includes(backend)) {
    return 'disable_any_whitespace is only supported for xgrammar and guidance backends.';
  }
  const isRefused = value.disable_additional_properties === true && backend !== 'guidance';
  return isRefused ? 'disable_additional_properties is only supported for the guidance backend.' : null;
}

/** @throws EngineConfigError for an empty name, whose first letter Python looks at */
function compilation({ custom_ops: ops, mode, backend = '' }: ConfigObject): string | null {
  for (const op of Array.isArray(ops) ? ops.map(String) : []) {
    if (op === '') throw new EngineConfigError('string index out of range', 'IndexError');
    if (/^[+-]/.test(op) || op === 'all' || op === 'none') continue;
    return `Invalid syntax '${op}' for custom op, must be 'all', 'none', '+op' or '-op' (where 'op' is the registered op name)`;
  }
  const isPiecewise = mode === 3 || (typeof mode === 'string' && mode.toUpperCase() === 'VLLM_COMPILE');
  const isKnown = ['', 'eager', 'inductor'].some((one) => one === backend);
  return isPiecewise && !isKnown ? `Invalid backend for piecewise compilation: ${backend}` : null;
}

function pooler(value: ConfigObject): string | null {
  if (coerced(FLOAT, value.logit_sigma ?? null) === 0) return 'logit_sigma cannot be 0 (division by zero)';
  if ((value.pooling_type ?? null) === null) return null;
  const other = ['seq_pooling_type', 'tok_pooling_type'].find((key) => (value[key] ?? null) !== null);
  return other === undefined ? null : `Cannot set both \`pooling_type\` and \`${other}\``;
}

function profiler(value: ConfigObject): string | null {
  const isTorch = value.profiler === 'torch';
  const hasFolder = (value.torch_profiler_dir ?? '') !== '';
  if (hasFolder && !isTorch) return "torch_profiler_dir is only applicable when profiler is set to 'torch'";
  if (!hasFolder && isTorch) return "torch_profiler_dir must be set when profiler is 'torch'";
  const captures = coerced(BOOL, value.capture_torch_profiler ?? false) === true;
  return captures && !isTorch ? "capture_torch_profiler is only applicable when profiler is set to 'torch'" : null;
}
