import type { JsonObject } from './request-body.js';
import { engineCallFailed, httpException } from './route-errors.js';

/** What vLLM's workers say where no weight transfer is configured. */
export const NO_TRANSFER =
  'Weight transfer not configured. Please set weight_transfer_config to enable weight transfer.';
const NO_LORA = 'LoRA is not enabled. Use --enable-lora to enable LoRA.';
const NO_PROFILER =
  "Profiling is not enabled. Please set --profiler-config to enable profiling. Example: '--profiler-config.profiler=torch --profiler-config.torch_profiler_dir=YOUR_DIR_PATH_TO_DUMP_TRACE'";

/** What each worker answers, or why the call fails. */
type Outcome = { readonly result: unknown } | { readonly failure: string };

interface WorkerMethod {
  /** Python's class that has it. */
  readonly owner: 'Worker' | 'WorkerWrapperBase';
  readonly required: readonly string[];
  readonly optional: readonly string[];
  readonly outcome: Outcome;
}

function method(
  outcome: Outcome,
  { owner = 'Worker', required = [], optional = [] }: Partial<Omit<WorkerMethod, 'outcome'>> = {},
): WorkerMethod {
  return { owner, required, optional, outcome };
}

const NOTHING = { result: null };

/**
 * Methods of vLLM 0.26's GPU worker whose answers need neither weights nor tensors, for a text model without LoRA,
 * profiler and weight transfer.
 */
const METHODS: ReadonlyMap<string, WorkerMethod> = new Map([
  ['check_health', method(NOTHING)],
  ['reset_mm_cache', method(NOTHING, { owner: 'WorkerWrapperBase' })],
  ['reset_encoder_cache', method(NOTHING)],
  ['execute_dummy_batch', method(NOTHING)],
  ['take_draft_token_ids', method(NOTHING)],
  ['get_kv_connector_handshake_metadata', method(NOTHING)],
  ['get_supported_tasks', method({ result: ['generate'] })],
  ['get_encoder_timing_stats', method({ result: {} })],
  ['profile', method({ failure: NO_PROFILER }, { optional: ['is_start', 'profile_prefix'] })],
  ['list_loras', method({ failure: NO_LORA })],
  ['add_lora', method({ failure: NO_LORA }, { required: ['lora_request'] })],
  ['remove_lora', method({ failure: NO_LORA }, { required: ['lora_id'] })],
  ['pin_lora', method({ failure: NO_LORA }, { required: ['lora_id'] })],
  ['start_weight_update', method({ failure: NO_TRANSFER })],
  ['start_draft_weight_update', method({ failure: NO_TRANSFER })],
  ['finish_weight_update', method({ failure: NO_TRANSFER })],
  ['init_weight_transfer_engine', method({ failure: NO_TRANSFER }, { required: ['init_info'] })],
  ['update_weights', method({ failure: NO_TRANSFER }, { required: ['update_info'] })],
]);

/** What vLLM says of a name that its workers do not know (`run_method` in vllm/v1/serial_utils.py). */
const unknownToWorkers = (name: string): Outcome => ({ failure: `Method '${name}' is not implemented.` });

/**
 * POST /collective_rpc: calls a method by name on every worker.
 * @returns the answer of each worker.
 * @throws ApiError 400 without a method; 500 where it fails
 */
export function callWorkers({ method: name = null, args, kwargs }: JsonObject, workers: number): readonly unknown[] {
  if (name === null) throw httpException(400, "Missing 'method' in request body");
  const given = { positional: Array.isArray(args) ? args.length : 0, named: Object.keys(Object(kwargs ?? {})) };
  const outcome = outcomeOf(String(name), given);
  if ('failure' in outcome) throw engineCallFailed('collective_rpc', outcome.failure, workers);
  return Array.from({ length: workers }, () => outcome.result);
}

interface Arguments {
  readonly positional: number;
  readonly named: readonly string[];
}

function outcomeOf(name: string, given: Arguments): Outcome {
  const called = METHODS.get(name);
  if (called === undefined) return unknownToWorkers(name);
  const problem = argumentProblem(name, called, given);
  return problem === null ? called.outcome : { failure: problem };
}

/** Python's TypeError for arguments that do not fit; `self` counts. */
function argumentProblem(
  name: string,
  { owner, required, optional }: WorkerMethod,
  { positional, named }: Arguments,
): string | null {
  const shown = `${owner}.${name}()`;
  const parameters = [...required, ...optional];
  const stranger = named.find((one) => !parameters.includes(one));
  if (stranger !== undefined) return `${shown} got an unexpected keyword argument '${stranger}'`;
  if (positional > parameters.length) {
    const most = parameters.length + 1;
    const takes = optional.length > 0 ? `from ${required.length + 1} to ${most} positional arguments` : plural(most);
    return `${shown} takes ${takes} but ${positional + 1} were given`;
  }
  const missing = required.slice(positional).filter((one) => !named.includes(one));
  const [first] = missing;
  return first === undefined ? null : `${shown} missing 1 required positional argument: '${first}'`;
}

function plural(count: number): string {
  return `${count} positional argument${count === 1 ? '' : 's'}`;
}
