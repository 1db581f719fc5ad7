import { type PythonType, readType, typeProblems } from '../python-types.js';
import { type SchemaProblem, schemaError } from './api-error.js';
import { isJsonObject } from './pydantic-report.js';
import type { JsonObject } from './request-body.js';
import { notAnObject, responseFormat } from './response-format-check.js';

type Check = (value: unknown) => readonly SchemaProblem[];
export type FieldTable = ReadonlyMap<string, Check>;

const flagType = readType('bool?');
const SAMPLING = {
  use_beam_search: 'bool',
  top_k: 'int?',
  min_p: 'float?',
  repetition_penalty: 'float?',
  length_penalty: 'float',
  stop_token_ids: 'list[int]?',
  include_stop_str_in_output: 'bool',
  ignore_eos: 'bool',
  min_tokens: 'int',
  skip_special_tokens: 'bool',
  spaces_between_special_tokens: 'bool',
  truncate_prompt_tokens: 'int>=-1?',
  truncation_side: "('left'|'right')?",
};
const TRANSFER = {
  cache_salt: 'str?',
  kv_transfer_params: 'dict[any]?',
  ec_transfer_params: 'dict[any]?',
  vllm_xargs: 'dict[str|int|float|list[str|int|float]]?',
};

/** Fields of vLLM 0.26's CompletionRequest, in the order of their declaration. What is left out is checked elsewhere. */
export const COMPLETION_FIELDS = tableOf({
  model: 'str?',
  prompt: '(list[int>=0]|list[list[int>=0]]|str|list[str])?',
  echo: 'bool?',
  frequency_penalty: 'float?',
  logit_bias: 'dict[float]?',
  logprobs: 'int?',
  max_tokens: 'int?',
  n: 'int',
  presence_penalty: 'float?',
  seed: 'int64?',
  stop: '(str|list[str])?',
  stream: 'bool?',
  stream_options: streamOptions,
  suffix: 'str?',
  temperature: 'float?',
  top_p: 'float?',
  user: 'str?',
  ...SAMPLING,
  allowed_token_ids: 'list[int]?',
  prompt_logprobs: 'int?',
  logprob_token_ids: 'list[int]?',
  bad_words: 'list[str]',
  prompt_embeds: '(bytes|list[bytes])?',
  add_special_tokens: 'bool',
  response_format: responseFormat,
  priority: 'int64',
  request_id: 'str',
  return_tokens_as_token_ids: 'bool?',
  return_token_ids: 'bool?',
  return_token_offsets: 'bool?',
  ...TRANSFER,
});

/** Those of its ChatCompletionRequest. */
export const CHAT_FIELDS = tableOf({
  model: 'str?',
  frequency_penalty: 'float?',
  logit_bias: 'dict[float]?',
  logprobs: 'bool?',
  top_logprobs: 'int?',
  max_tokens: 'int?',
  max_completion_tokens: 'int?',
  n: 'int?',
  presence_penalty: 'float?',
  response_format: responseFormat,
  seed: 'int64?',
  stop: '(str|list[str])?',
  stream: 'bool?',
  stream_options: streamOptions,
  temperature: 'float?',
  top_p: 'float?',
  reasoning_effort: "('none'|'minimal'|'low'|'medium'|'high'|'xhigh'|'max')?",
  include_reasoning: 'bool',
  parallel_tool_calls: 'bool?',
  user: 'str?',
  ...SAMPLING,
  prompt_logprobs: 'int?',
  logprob_token_ids: 'list[int]?',
  allowed_token_ids: 'list[int]?',
  bad_words: 'list[str]',
  echo: 'bool',
  add_generation_prompt: 'bool',
  continue_final_message: 'bool',
  add_special_tokens: 'bool',
  documents: 'list[dict[str]]?',
  chat_template: 'str?',
  chat_template_kwargs: 'dict[any]?',
  media_io_kwargs: 'dict[dict[any]]?',
  mm_processor_kwargs: 'dict[any]?',
  priority: 'int64',
  request_id: 'str',
  return_tokens_as_token_ids: 'bool?',
  return_token_ids: 'bool?',
  return_token_offsets: 'bool?',
  return_prompt_text: 'bool?',
  return_assistant_tokens_mask: 'bool',
  ...TRANSFER,
});

/** Those of its ResponsesRequest that OpenAI's own API does not have, or that are simple. */
export const RESPONSES_FIELDS = tableOf({
  logit_bias: 'dict[float]?',
  include_reasoning: 'bool',
  skip_special_tokens: 'bool',
  include_stop_str_in_output: 'bool',
  prompt_cache_key: 'str?',
  request_id: 'str',
  media_io_kwargs: 'dict[dict[any]]?',
  mm_processor_kwargs: 'dict[any]?',
  priority: 'int64',
  enable_response_messages: 'bool',
  repetition_penalty: 'float?',
  seed: 'int64?',
  stop: '(str|list[str])?',
  ignore_eos: 'bool',
  ...TRANSFER,
  chat_template_kwargs: 'dict[any]?',
});

/** @throws ApiError 400 with every field whose value is not of its type, in pydantic's words */
export function checkFields(table: FieldTable, body: JsonObject): void {
  const problems: SchemaProblem[] = [];
  for (const [name, check] of table) {
    if (body[name] === undefined) continue;
    for (const problem of check(body[name])) {
      problems.push({ ...problem, location: ['body', name, ...problem.location] });
    }
  }
  if (problems.length > 0) throw schemaError(problems);
}

function tableOf(fields: Readonly<Record<string, string | Check>>): FieldTable {
  return new Map(
    Object.entries(fields).map(([name, field]): [string, Check] => {
      if (typeof field !== 'string') return [name, field];
      const type: PythonType = readType(field);
      return [name, (value) => typeProblems(type, value)];
    }),
  );
}

/** A class of its own, whose fields are booleans. */
function streamOptions(value: unknown): readonly SchemaProblem[] {
  if (value === null) return [];
  if (!isJsonObject(value)) return [notAnObject(value)];
  return ['include_usage', 'continuous_usage_stats'].flatMap((name) =>
    name in value
      ? typeProblems(flagType, value[name]).map((problem) => ({ ...problem, location: [name, ...problem.location] }))
      : [],
  );
}
