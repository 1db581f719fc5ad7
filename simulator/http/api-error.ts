import { pythonFloat, pythonRepr, pythonTuple } from './python-text.js';

/** An answer in vLLM's error format. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** vLLM's name of the kind, where it has one. */
  readonly type: string;
  readonly body: string;

  constructor(status: number, body: unknown, message: string, type = '') {
    super(message);
    this.status = status;
    this.type = type;
    this.body = JSON.stringify(body);
  }
}

function openAiError(status: number, type: string, message: string, param: string | null): ApiError {
  return new ApiError(status, { error: { message, type, param, code: status } }, message, type);
}

/** The form of Anthropic's API. */
export function anthropicError(status: number, type: string, message: string): ApiError {
  return new ApiError(status, { type: 'error', error: { type, message } }, message, type);
}

export function modelNotFound(model: string): ApiError {
  return openAiError(404, 'NotFoundError', `The model \`${model}\` does not exist.`, 'model');
}

/** A value that parses but cannot be used: `... (parameter=max_tokens, value=-1)`. */
export function badValue(message: string, parameter: string, value: number | null, asFloat = false): ApiError {
  const shown = value === null ? '' : `, value=${asFloat ? pythonFloat(value) : pythonRepr(value)}`;
  return openAiError(400, 'BadRequestError', `${message} (parameter=${parameter}${shown})`, parameter);
}

/** A request that the engine cannot serve, without a single parameter to blame. */
export function badRequest(message: string, param: string | null): ApiError {
  return openAiError(400, 'BadRequestError', message, param);
}

/** What the API of responses refuses by itself. */
export function invalidRequest(status: 400 | 404, message: string, param: string): ApiError {
  return openAiError(status, 'invalid_request_error', message, param);
}

/** One entry of pydantic's error list. */
export interface SchemaProblem {
  readonly type: string;
  readonly location: readonly (string | number)[];
  readonly message: string;
  readonly input: unknown;
  /** Python source of the context, e.g. `{'error': ...}`. */
  readonly context?: string;
}

/** The body does not fit the schema: 400 with pydantic's errors, as vLLM shows them. */
export function schemaError(problems: readonly SchemaProblem[], parameter?: string): ApiError {
  const lines = problems.map((problem) => {
    const context = problem.context === undefined ? '' : `, 'ctx': ${problem.context}`;
    return `  {'type': ${pythonRepr(problem.type)}, 'loc': ${pythonTuple(problem.location)}, 'msg': ${pythonRepr(problem.message)}, 'input': ${pythonRepr(problem.input)}${context}}`;
  });
  const message = `${heading(problems.length)}\n${lines.join('\n')}`;
  return openAiError(400, 'Bad Request', message, parameter ?? parameterAt(problems[0]?.location));
}

/** A place in the body without the types that were tried there. */
function parameterAt(location: SchemaProblem['location'] = []): string | null {
  const names = location.filter((part) => part !== 'str' && !/[[\](){}]/.test(String(part)));
  return names.length === 0 ? null : names.join('.');
}

/** A check of the whole body that blames no parameter: `Value error, TEXT`. @param raised Python's exception */
export function bodyError(text: string, body: unknown, raised = 'ValueError'): ApiError {
  const context = `{'error': ${raised}(${pythonRepr(text)})}`;
  return schemaError([
    { type: 'value_error', location: ['body'], message: `Value error, ${text}`, input: body, context },
  ]);
}

/** A check of the whole body: `Value error, TEXT (parameter=NAME[, value=VALUE])`. */
export function valueError(text: string, parameter: string, body: unknown, value?: number): ApiError {
  const shown = value === undefined ? '' : `, value=${value}`;
  return schemaError(
    [
      {
        type: 'value_error',
        location: ['body'],
        message: `Value error, ${text} (parameter=${parameter}${shown})`,
        input: body,
        context: `{'error': VLLMValidationError(${pythonRepr(text)})}`,
      },
    ],
    parameter,
  );
}

export function unsupportedMediaType(): ApiError {
  const message = `${heading(1)}\n  Unsupported Media Type: Only 'application/json' is allowed`;
  return openAiError(400, 'Bad Request', message, null);
}

function heading(count: number): string {
  return count === 1 ? '1 validation error:' : `${count} validation errors:`;
}

/** What a prompt that is too long is answered with. `exact`: the prompt came as ids, so its length is known. */
export function promptTooLong(
  maxModelLen: number,
  outputTokens: number,
  promptTokens: number,
  exact: boolean,
): ApiError {
  const least = exact ? '' : 'at least ';
  return badValue(
    `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${outputTokens} output tokens and your prompt contains ${least}${promptTokens} input tokens, for a total of ${least}${promptTokens + outputTokens} tokens. Please reduce the length of the input prompt or the number of requested output tokens.`,
    'input_tokens',
    promptTokens,
  );
}
