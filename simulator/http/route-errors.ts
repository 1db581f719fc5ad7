import { ApiError, type SchemaProblem, schemaError } from './api-error.js';

/** Names of the statuses that vLLM's routes raise. */
const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  500: 'Internal Server Error',
};

/** FastAPI's HTTPException, in the form vLLM's handler gives it. */
export function httpException(status: keyof typeof PHRASES, detail: string): ApiError {
  return new ApiError(status, { error: errorOf(detail, PHRASES[status] ?? '', status) }, detail);
}

/** An exception that nothing along the way expects. */
export function internalError(message: string): ApiError {
  return new ApiError(500, { error: errorOf(message, 'InternalServerError', 500) }, message);
}

/** A call of the engine that failed there; with several workers the first one's failure is told. */
export function engineCallFailed(method: string, reason: string, workers = 1): ApiError {
  const told =
    workers > 1
      ? `Worker failed with error '${reason}', please check the stack trace above for the root cause`
      : reason;
  return internalError(`Call to ${method} method failed: ${told}`);
}

/** A query parameter that is not one of the words it may be. */
export function queryChoiceError(name: string, input: string, allowed: readonly string[]): ApiError {
  const quoted = allowed.map((one) => `'${one}'`);
  const expected = `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
  const message = `Input should be ${expected}`;
  return queryError(name, input, {
    type: 'literal_error',
    message,
    context: `{'expected': ${JSON.stringify(expected)}}`,
  });
}

/** A query parameter that is no boolean. */
export function queryBooleanError(name: string, input: string): ApiError {
  const message = 'Input should be a valid boolean, unable to interpret input';
  return queryError(name, input, { type: 'bool_parsing', message });
}

function queryError(
  name: string,
  input: string,
  problem: Pick<SchemaProblem, 'type' | 'message' | 'context'>,
): ApiError {
  return schemaError([{ ...problem, location: ['query', name], input }]);
}

function errorOf(message: string, type: string, code: number): unknown {
  return { message, type, param: null, code };
}
