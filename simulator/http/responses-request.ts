import { z } from 'zod';
import { badValue, schemaError, valueError } from './api-error.js';
import { booleanField, integerField, noneOf, numberField } from './field-schemas.js';
import { isJsonObject } from './pydantic-report.js';
import type { JsonObject } from './request-body.js';
import { parseFields } from './request-body.js';
import { checkFields, RESPONSES_FIELDS } from './request-fields.js';

const partField = z.looseObject({ type: z.string(), text: z.string().optional() });
const contentField = z.union([z.string(), z.array(partField)]);
const itemSchema = z.union([
  z.looseObject({
    type: z.literal('message').optional(),
    role: z.enum(['user', 'assistant', 'system', 'developer']),
    content: contentField,
  }),
  z.looseObject({ type: z.literal('function_call'), call_id: z.string(), name: z.string(), arguments: z.string() }),
  z.looseObject({ type: z.literal('function_call_output'), call_id: z.string(), output: contentField }),
  z.looseObject({ type: z.literal('reasoning') }),
]);
const objectField = z.record(z.string(), z.unknown());
const functionToolSchema = z.looseObject({
  name: z.string(),
  parameters: objectField.nullish(),
  strict: booleanField.nullish(),
  type: z.literal('function'),
  description: z.string().nullish(),
});
/** Taken and never called: there is no tool server. */
const otherToolSchema = z.looseObject({
  type: z.enum([
    'file_search',
    'computer',
    'computer_use_preview',
    'web_search',
    'web_search_2025_08_26',
    'web_search_preview',
    'web_search_preview_2025_03_11',
    'mcp',
    'code_interpreter',
    'image_generation',
    'local_shell',
    'shell',
    'custom',
    'namespace',
    'tool_search',
    'apply_patch',
  ]),
});
const formatSchema = z.union(
  [
    z.looseObject({ type: z.literal('text') }),
    z.looseObject({
      name: z.string(),
      schema: objectField,
      type: z.literal('json_schema'),
      description: z.string().nullish(),
      strict: booleanField.nullish(),
    }),
    z.looseObject({ type: z.literal('json_object') }),
  ],
  noneOf('ResponseFormatText', 'ResponseFormatTextJSONSchemaConfig', 'ResponseFormatJSONObject'),
);
const penaltyField = numberField.pipe(z.number().min(-2).max(2)).nullish();

/** The fields in the order of vLLM 0.26's own, in which it lists what is wrong with them. */
const responsesSchema = z.looseObject({
  background: booleanField.nullish(),
  include: z
    .array(
      z.enum([
        'code_interpreter_call.outputs',
        'computer_call_output.output.image_url',
        'file_search_call.results',
        'message.input_image.image_url',
        'message.output_text.logprobs',
        'reasoning.encrypted_content',
      ]),
    )
    .nullish(),
  input: z.union([z.string(), z.array(itemSchema)], noneOf('str', 'list[ResponseInputItem]')),
  instructions: z.string().nullish(),
  max_output_tokens: integerField.nullish(),
  max_tool_calls: integerField.nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  model: z.string().nullish(),
  parallel_tool_calls: booleanField.nullish(),
  previous_response_id: z.string().nullish(),
  reasoning: z.looseObject({}).nullish(),
  service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority']).default('auto'),
  store: booleanField.nullish(),
  stream: booleanField.nullish(),
  temperature: numberField.nullish(),
  text: z
    .looseObject({ format: formatSchema.nullish(), verbosity: z.enum(['low', 'medium', 'high']).nullish() })
    .nullish(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string() })]).default('auto'),
  tools: z.array(z.union([functionToolSchema, otherToolSchema], noneOf('FunctionTool', 'FileSearchTool'))).default([]),
  top_logprobs: integerField.nullish(),
  top_p: numberField.nullish(),
  top_k: integerField.nullish(),
  truncation: z.enum(['auto', 'disabled']).nullable().default('disabled'),
  user: z.string().nullish(),
  presence_penalty: penaltyField,
  frequency_penalty: penaltyField,
  request_id: z.string().optional(),
  previous_input_messages: z.array(z.unknown()).nullish(),
  seed: integerField.nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  ignore_eos: booleanField.optional(),
  enable_response_messages: booleanField.optional(),
});

export type ResponsesRequest = z.infer<typeof responsesSchema>;
export type ResponseItem = Exclude<ResponsesRequest['input'], string>[number];

/** POST /v1/responses, checked by itself. @throws ApiError */
export function parseResponsesRequest(given: JsonObject): ResponsesRequest {
  const body = checkToolUsage(given);
  const salt = body.cache_salt;
  if (salt !== undefined && salt !== null && (typeof salt !== 'string' || salt === '')) {
    throw valueError("Parameter 'cache_salt' must be a non-empty string if provided.", 'cache_salt', body);
  }
  if (body.prompt !== undefined && body.prompt !== null) {
    throw valueError('prompt template is not supported', 'prompt', body);
  }
  if (body.background && (body.store === false || body.store === null)) {
    throw valueError('background can only be used when `store` is true', 'background', body);
  }
  checkFields(RESPONSES_FIELDS, body);
  checkStructuredOutputs(body.structured_outputs);
  const fields = parseFields(responsesSchema, body);
  if (fields.text?.format && body.structured_outputs) {
    throw badValue('Cannot specify both structured_outputs and text.format', 'structured_outputs', null);
  }
  return fields;
}

function checkStructuredOutputs(input: unknown): void {
  if (input === undefined || input === null || isJsonObject(input)) return;
  const className = 'StructuredOutputsParams';
  const message = `Input should be a dictionary or an instance of ${className}`;
  const context = `{'class_name': '${className}'}`;
  throw schemaError([{ type: 'dataclass_type', location: ['body', 'structured_outputs'], message, input, context }]);
}

/** Without tools there is no choice; it is written into the body, as later errors show. */
function checkToolUsage(body: JsonObject): JsonObject {
  const { tools, tool_choice: choice = 'auto' } = body;
  const named = typeof choice === 'object' && choice !== null && 'type' in choice && choice.type === 'function';
  const list: readonly unknown[] = Array.isArray(tools) ? tools : [];
  if (list.length === 0) {
    if (choice === 'auto' || choice === 'none') return { ...body, tool_choice: 'none' };
    if (choice === 'required') {
      throw valueError("Tool choice 'required' must be specified with 'tools' parameter.", 'tool_choice', body);
    }
  }
  const wanted = named && 'name' in choice ? choice.name : undefined;
  const isKnown = list.some(
    (tool) => typeof tool === 'object' && tool !== null && Reflect.get(tool, 'name') === wanted,
  );
  if (named && !(wanted && isKnown)) {
    throw valueError("Tool choice 'function' not found in 'tools' parameter.", 'tool_choice', body);
  }
  return body;
}
