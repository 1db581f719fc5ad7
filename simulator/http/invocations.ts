import { badRequest } from './api-error.js';
import { decodeError } from './json-error.js';
import { isJsonObject } from './pydantic-report.js';
import { pythonType } from './python-text.js';
import { type ParseBody, requireJson } from './request-body.js';
import { httpException } from './route-errors.js';

const ADAPTER_HEADER = 'x-amzn-sagemaker-adapter-identifier';

/**
 * The body of SageMaker's /invocations, as its hosting library hands it on: the model is the adapter that a header names, or
 * the server's own, whatever the body says (model-hosting-container-standards 0.1.16). @throws ApiError 400
 */
export const parseInvocation: ParseBody = ({ headers }, text) => {
  requireJson(headers['content-type']);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw httpException(400, `JSON decode error: ${decodeError(text)}`);
  }
  if (isJsonObject(value)) return { ...value, model: headers[ADAPTER_HEADER] ?? null };
  throw badRequest(whyNotChanged(value), null);
};

/** How Python fails to write the model into it. */
function whyNotChanged(value: unknown): string {
  if (Array.isArray(value)) return 'list indices must be integers or slices, not str';
  if (typeof value === 'string') return "'str' object does not support item assignment";
  return `argument of type '${pythonType(value)}' is not iterable`;
}
