import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Sequence } from '../engine/sequence.js';
import { OddsChain } from '../token-odds.js';
import { badRequest } from './api-error.js';
import { checkModel, type GenerationContext } from './generate.js';
import { decodeError } from './json-error.js';
import { isJsonObject, type Problem, pydanticReport } from './pydantic-report.js';
import { pythonType } from './python-text.js';
import type { Reply } from './reply.js';
import { readBody, requireJson } from './request-body.js';

interface ScoringRequest {
  readonly model: string | null;
  readonly query: string | readonly number[];
  readonly items: readonly (string | readonly number[])[];
  readonly labels: readonly number[];
  readonly softmax: boolean;
  readonly itemFirst: boolean;
  readonly addSpecialTokens: boolean;
  readonly requestId: string | null;
}

/** POST /generative_scoring: how likely the first label follows the query and each item. @throws ApiError */
export async function scoreItems(context: GenerationContext, http: IncomingMessage, reply: Reply): Promise<void> {
  const arrived = context.engine.loop.announce(reply.arrival);
  try {
    requireJson(http.headers['content-type']);
    const request = readRequest(await readBody(http));
    const { served, engine } = context;
    const model = checkModel(served, request.model);
    checkLabels(request, served.tokenizer.vocabSize);
    const prompts = promptsOf(context, request);
    const named = http.headers['x-request-id'];
    const given = typeof named === 'string' ? named : (request.requestId ?? randomBytes(16).toString('hex'));
    const id = `generative-scoring-${given}`;
    const sequences = prompts.map((ids, index) => sequenceOf(context, ids, `${id}-${index}`));
    let unfinished = sequences.length;
    reply.response.on('close', () => {
      for (const sequence of sequences) engine.end(sequence, 'abort');
    });
    const sink = {
      onToken: () => {
        unfinished -= 1;
        if (unfinished > 0) return;
        const failed = sequences.findIndex(({ finished }) => finished === 'abort' || finished === 'error');
        const answer =
          failed < 0
            ? { status: 200, body: answerOf(request, model, id, prompts, served.tokenizer.vocabSize) }
            : withoutOdds(failed, sequences[failed]?.finished === 'error');
        engine.outbox.add({ send: () => reply.json(answer.body, answer.status) });
      },
    };
    for (const sequence of sequences) engine.submit([sequence], 1, reply.arrival, sink);
  } finally {
    arrived();
  }
}

/** What vLLM says of an item whose request was aborted, or failed. */
function withoutOdds(item: number, isFailure: boolean): { readonly status: number; readonly body: unknown } {
  const message = isFailure
    ? `Generation error for item ${item}`
    : `No logprobs available for item ${item}. This might indicate an issue with logprobs configuration.`;
  return { status: 400, body: { error: { message, type: 'BadRequestError', param: null, code: 400 } } };
}

/** @throws ApiError 400 */
function readRequest(text: string): ScoringRequest {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw badRequest(decodeError(text), null);
  }
  if (!isJsonObject(body)) {
    const type = pythonType(body);
    const made = 'vllm.entrypoints.generate.generative_scoring.serving.GenerativeScoringRequest()';
    throw badRequest(`${made} argument after ** must be a mapping, not ${type}`, null);
  }
  const problems = [
    ...required(body, 'query', (value) => textOrIds('query', value)),
    ...required(body, 'items', itemsProblems),
    ...required(body, 'label_token_ids', (value) => listProblems('label_token_ids', value, integerProblem)),
    ...['apply_softmax', 'item_first', 'add_special_tokens'].flatMap((key) => booleanProblem(body, key)),
  ];
  if (problems.length > 0) throw badRequest(pydanticReport('GenerativeScoringRequest', problems), null);
  return {
    model: typeof body.model === 'string' ? body.model : null,
    query: textOrNumbers(body.query),
    items: Array.isArray(body.items) ? body.items.map(textOrNumbers) : [],
    labels: numbers(body.label_token_ids),
    softmax: body.apply_softmax !== false,
    itemFirst: body.item_first === true,
    addSpecialTokens: body.add_special_tokens !== false,
    requestId: typeof body.request_id === 'string' ? body.request_id : null,
  };
}

function textOrNumbers(value: unknown): string | readonly number[] {
  return typeof value === 'string' ? value : numbers(value);
}

function numbers(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

type Check = (key: string, value: unknown) => readonly Problem[];

function required(
  body: Readonly<Record<string, unknown>>,
  key: string,
  check: (value: unknown) => readonly Problem[],
): readonly Problem[] {
  if (key in body) return check(body[key]);
  return [{ key, type: 'missing', message: 'Field required', input: body }];
}

function textOrIds(key: string, value: unknown): readonly Problem[] {
  if (typeof value === 'string') return [];
  const asIds = listProblems(`${key}.list[int]`, value, integerProblem);
  return asIds.length === 0 ? [] : [...textProblem(`${key}.str`, value), ...asIds];
}

function itemsProblems(value: unknown): readonly Problem[] {
  const asTexts = listProblems('items.list[str]', value, textProblem);
  if (asTexts.length === 0) return [];
  const asIds = listProblems('items.list[list[int]]', value, (key, item) => listProblems(key, item, integerProblem));
  return asIds.length === 0 ? [] : [...asTexts, ...asIds];
}

function listProblems(key: string, value: unknown, ofItem: Check): readonly Problem[] {
  if (!Array.isArray(value)) {
    return [{ key, type: 'list_type', message: 'Input should be a valid list', input: value }];
  }
  return value.flatMap((item: unknown, index) => ofItem(`${key}.${index}`, item));
}

function textProblem(key: string, value: unknown): readonly Problem[] {
  if (typeof value === 'string') return [];
  return [{ key, type: 'string_type', message: 'Input should be a valid string', input: value }];
}

function integerProblem(key: string, value: unknown): readonly Problem[] {
  if (typeof value === 'string') {
    if (/^\s*[+-]?\d+\s*$/.test(value)) return [];
    const message = 'Input should be a valid integer, unable to parse string as an integer';
    return [{ key, type: 'int_parsing', message, input: value }];
  }
  if (typeof value !== 'number') {
    return [{ key, type: 'int_type', message: 'Input should be a valid integer', input: value }];
  }
  if (Number.isInteger(value)) return [];
  const message = 'Input should be a valid integer, got a number with a fractional part';
  return [{ key, type: 'int_from_float', message, input: value }];
}

function booleanProblem(body: Readonly<Record<string, unknown>>, key: string): readonly Problem[] {
  const value = body[key];
  if (value === undefined || typeof value === 'boolean') return [];
  if (typeof value !== 'string') {
    return [{ key, type: 'bool_type', message: 'Input should be a valid boolean', input: value }];
  }
  const message = 'Input should be a valid boolean, unable to interpret input';
  return [{ key, type: 'bool_parsing', message, input: value }];
}

/** @throws ApiError 400 */
function checkLabels({ labels, items }: ScoringRequest, vocabularySize: number): void {
  const stranger = labels.find((id) => id < 0 || id >= vocabularySize);
  if (stranger !== undefined) {
    throw badRequest(
      `label_token_id ${stranger} is out of vocabulary range [0, ${vocabularySize}). Please provide valid token IDs.`,
      null,
    );
  }
  if (labels.length === 0) throw badRequest('label_token_ids must contain at least one token ID.', null);
  if (items.length === 0) throw badRequest('items must contain at least one item.', null);
}

/** Query and item, cut so that a token has still room. */
function promptsOf({ served }: GenerationContext, request: ScoringRequest): readonly (readonly number[])[] {
  const { tokenizer, maxModelLen } = served;
  const encode = (text: string | readonly number[], addSpecialTokens: boolean): readonly number[] =>
    typeof text === 'string' ? tokenizer.encode(text, { addSpecialTokens }) : text;
  const query = encode(request.query, request.addSpecialTokens);
  return request.items.map((item) => {
    const ids = encode(item, false);
    return (request.itemFirst ? [...ids, ...query] : [...query, ...ids]).slice(0, maxModelLen - 1);
  });
}

function sequenceOf({ served }: GenerationContext, promptIds: readonly number[], requestId: string): Sequence {
  const { tokenizer, text, blockTokens } = served;
  return new Sequence(
    {
      promptIds,
      requestId,
      maxTokens: 1,
      minTokens: 0,
      ignoreEos: true,
      eosTokenId: tokenizer.eosTokenId,
      openStream: () => text.stream(promptIds, { temperature: 0, seed: null, sequence: 0 }),
    },
    blockTokens,
  );
}

function answerOf(
  request: ScoringRequest,
  model: string,
  id: string,
  prompts: readonly (readonly number[])[],
  vocabularySize: number,
): unknown {
  const promptTokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
  return {
    id,
    object: 'list',
    created: Math.floor(Date.now() / 1000),
    model,
    data: prompts.map((ids, index) => ({ index, object: 'score', score: scoreOf(request, ids, vocabularySize) })),
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens + prompts.length,
      completion_tokens: prompts.length,
      prompt_tokens_details: null,
    },
  };
}

/** Of the first label: its share among the labels, or its own probability. */
function scoreOf({ labels, softmax }: ScoringRequest, ids: readonly number[], vocabularySize: number): number {
  const chain = new OddsChain(vocabularySize);
  for (const id of ids) chain.pass(id);
  const probabilities = chain.alternatives([...new Set(labels)]).map((logprob) => Math.exp(logprob));
  const [first = 0] = probabilities;
  return softmax ? first / probabilities.reduce((sum, one) => sum + one, 0) : first;
}
