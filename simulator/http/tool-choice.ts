import { z } from 'zod';
import type { ChatMessage } from '../contracts.js';
import type { AnswerShape } from './answer-shape.js';
import { type ApiError, badRequest, bodyError, valueError } from './api-error.js';
import { type JsonObject, parseFields } from './request-body.js';

const toolsSchema = z.looseObject({
  tools: z
    .array(
      z.looseObject({
        type: z.string().nullish(),
        function: z.looseObject({ name: z.string(), parameters: z.unknown().optional() }),
      }),
    )
    .nullish(),
});

type Tool = NonNullable<z.infer<typeof toolsSchema>['tools']>[number];

/** Which tools a chat offers, and which of them the answer has to call. */
export interface ToolChoice {
  readonly tools: readonly Tool[];
  readonly kind: 'none' | 'auto' | 'required' | 'named';
  /** Of the tool that has to be called; null unless one is named. */
  readonly name: string | null;
}

/** A call of one tool, in the text a model of the Hermes form writes it in, whose grammar vLLM enforces where a call is demanded. */
export interface ToolCallForm {
  readonly kind: 'auto' | 'required' | 'named';
  readonly name: string;
  readonly parameters: unknown;
  /** What precedes the arguments, and follows them. */
  readonly before: string;
  readonly after: string;
}

const USAGE = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`';

/** `tools` and `tool_choice`, in the order and the words of vLLM's check of them. @throws ApiError 400 */
export function parseToolChoice(body: JsonObject): ToolChoice {
  if (Array.isArray(body.tools) && body.tools.length === 0) {
    const text = '`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.';
    throw bodyError(text, body);
  }
  const tools = parseFields(toolsSchema, body).tools ?? [];
  const wanted = 'tool_choice' in body ? body.tool_choice : tools.length > 0 ? 'auto' : null;
  if (wanted === 'none' || wanted === null) return { tools, kind: 'none', name: null };
  if (tools.length === 0) throw valueError('When using `tool_choice`, `tools` must be set.', 'tool_choice', body);
  if (wanted === 'auto' || wanted === 'required') return { tools, kind: wanted, name: null };
  if (typeof wanted !== 'object') {
    const text = `Invalid value for \`tool_choice\`: ${String(wanted)}! Only named tools, "none", "auto" or "required" are supported.`;
    throw valueError(text, 'tool_choice', body);
  }
  return { tools, kind: 'named', name: namedTool(wanted, tools, body) };
}

function namedTool(wanted: object, tools: readonly Tool[], body: JsonObject): string {
  const chosen: unknown = Reflect.get(wanted, 'function');
  if (typeof chosen !== 'object' || chosen === null) {
    const shown = chosen === undefined || chosen === null ? 'None' : String(chosen);
    throw valueError(
      `Invalid value for \`function\`: \`${shown}\` in \`tool_choice\`! ${USAGE}`,
      'tool_choice.function',
      body,
    );
  }
  const parameter = 'tool_choice.function.name';
  if (!('name' in chosen)) {
    throw valueError(`Expected field \`name\` in \`function\` in \`tool_choice\`! ${USAGE}`, parameter, body);
  }
  const { name } = chosen;
  if (typeof name !== 'string' || name === '') {
    throw valueError(
      `Invalid \`name\` in \`function\`: \`${String(name)}\` in \`tool_choice\`! ${USAGE}`,
      parameter,
      body,
    );
  }
  if (!tools.some((tool) => tool.function.name === name)) {
    const text = 'The tool specified in `tool_choice` does not match any of the specified `tools`';
    throw valueError(text, 'tool_choice', body);
  }
  return name;
}

/** A server without a tool parser refuses every choice but "none". @throws ApiError 400 */
export function checkToolParser({ kind, name }: ToolChoice, hasParser: boolean): void {
  if (!hasParser && kind !== 'none') throw noToolParser(kind, name);
}

export function noToolParser(kind: ToolChoice['kind'], name: string | null): ApiError {
  if (kind === 'auto') {
    return badRequest('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', null);
  }
  const described = kind === 'named' ? `function "${name}"` : '"required"';
  return badRequest(`tool_choice=${described} requires --tool-call-parser to be set`, null);
}

/**
 * The call that the answer is, or null where it is text. Left to choose, the simulated model calls a tool until it has
 * been told a result. Conversations with results go on to the next tool, so that an agent's loop comes to its end.
 * @param shape what the text must be; it wins where a call is not demanded.
 */
export function chooseCall(
  { tools, kind, name }: ToolChoice,
  roles: readonly string[],
  shape: AnswerShape | null,
): ToolCallForm | null {
  if (kind === 'none') return null;
  if (kind === 'auto' && (shape !== null || roles.at(-1) === 'tool')) return null;
  const results = roles.filter((role) => role === 'tool').length;
  // Some agents tell results as a user's words, and go on to demand calls until one of them ends it.
  const turns = results === 0 && kind === 'required' ? roles.filter((role) => role === 'assistant').length : results;
  const tool = name === null ? tools[turns % tools.length] : tools.find((one) => one.function.name === name);
  if (tool === undefined) return null;
  const { name: called } = tool.function;
  return {
    kind,
    name: called,
    parameters: objectSchema(tool),
    before: `<tool_call>\n{"name": ${JSON.stringify(called)}, "arguments": `,
    after: '}\n</tool_call>',
  };
}

function objectSchema({ function: { parameters } }: Tool): unknown {
  return typeof parameters === 'object' ? { type: 'object', ...parameters } : { type: 'object' };
}

interface MessageWithCalls extends ChatMessage {
  readonly calls: readonly { readonly name: string; readonly arguments: unknown }[];
}

/** A conversation as Qwen3's chat template words tools, calls and results, in plain messages. */
export function plainMessages(messages: readonly MessageWithCalls[], tools: readonly Tool[]): ChatMessage[] {
  const plain: ChatMessage[] = [];
  for (const [index, { role, content, calls }] of messages.entries()) {
    if (role === 'tool') {
      const text = `<tool_response>\n${content}\n</tool_response>`;
      const before = messages[index - 1]?.role === 'tool' ? plain.pop()?.content : undefined;
      plain.push({ role: 'user', content: before === undefined ? text : `${before}\n${text}` });
    } else {
      const texts = calls.map(({ name, arguments: given }) => {
        const shown = typeof given === 'string' ? given : JSON.stringify(given);
        return `<tool_call>\n{"name": "${name}", "arguments": ${shown}}\n</tool_call>`;
      });
      plain.push({ role, content: [content, ...texts].filter((text) => text !== '').join('\n') });
    }
  }
  if (tools.length === 0) return plain;
  const [first] = plain;
  const isSystem = first?.role === 'system';
  const content = (isSystem ? `${first.content}\n\n` : '') + toolsPreamble(tools);
  return [{ role: 'system', content }, ...(isSystem ? plain.slice(1) : plain)];
}

function toolsPreamble(tools: readonly Tool[]): string {
  const signatures = tools.map((tool) => JSON.stringify(tool)).join('\n');
  return `# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n${signatures}\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>`;
}
