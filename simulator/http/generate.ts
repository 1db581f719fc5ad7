import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { hashNumbers } from '../chance.js';
import { Sequence } from '../engine/sequence.js';
import type { EngineService } from '../engine-service.js';
import type { SimFaults } from '../faults.js';
import type { ServedModel } from '../served-model.js';
import type { SimControlState } from '../sim-control.js';
import { Answer } from './answer.js';
import { type AnswerChannel, SoundChannel } from './answer-channel.js';
import type { AnswerFormat } from './answer-format.js';
import { shapedStream } from './answer-shape.js';
import { ApiError, badRequest, badValue, modelNotFound, promptTooLong } from './api-error.js';
import type { Dialect, Generation } from './dialect.js';
import { withFaults } from './faulty-channel.js';
import type { GenerationRequest, PromptInput } from './generation-request.js';
import type { PromptCache } from './prompt-cache.js';
import { pythonRepr } from './python-text.js';
import type { Reply } from './reply.js';
import { type JsonObject, type ParseBody, readBody } from './request-body.js';
import { internalError } from './route-errors.js';
import { checkSampling } from './sampling-checks.js';
import { checkToolParser } from './tool-choice.js';
import type { TurnQueue } from './turn-queue.js';

export interface GenerationContext {
  readonly prompts: PromptCache;
  readonly turns: TurnQueue;
  readonly served: ServedModel;
  readonly control: SimControlState;
  readonly engine: EngineService;
}

/** Salt of the text that SIM_FAULT=wrong-text-from-cache answers with. */
const WRONG_TEXT_SALT = 1;

/** A POST of any dialect that wants text. @throws ApiError */
export async function handleGeneration(
  dialect: Dialect,
  parseBody: ParseBody,
  context: GenerationContext,
  http: IncomingMessage,
  reply: Reply,
): Promise<void> {
  const arrived = context.engine.loop.announce(reply.arrival);
  try {
    const body = await readBody(http);
    await context.turns.run(() => {
      startAnswer(dialect(parseBody(http, body), context.served), context, reply, http);
    });
  } finally {
    arrived();
  }
}

function startAnswer(generation: Generation, context: GenerationContext, reply: Reply, http: IncomingMessage): void {
  const { request } = generation;
  const { served, engine } = context;
  const model = worded(generation, false, () => admit(served, request));
  const answerId = generation.answerId(requestId(http, request.body));
  const sequences = worded(generation, true, () =>
    encodePrompts(context, request).flatMap((prompt, index) =>
      // Each prompt of a completion is a request of its own to the engine.
      openSequences(context, request, prompt, request.endpoint === 'chat' ? answerId : `${answerId}-${index}`),
    ),
  );
  // Where ids are asked for, they stand for the echo.
  const echoes =
    request.echo && !request.returnTokenIds ? sequences.map(({ promptIds }) => served.tokenizer.decode(promptIds)) : [];
  const created = Math.floor(Date.now() / 1000);
  const head = {
    endpoint: request.endpoint,
    role: request.role,
    id: answerId,
    created,
    model,
    fingerprint: served.fingerprint,
  };
  const format = generation.format(head, sequences);
  const end = (): void => {
    for (const sequence of sequences) engine.end(sequence, 'abort');
  };
  const channel = generation.runInBackground?.(format, reply, end) ?? foreground(context, request, format, reply, end);
  const answer = new Answer(
    {
      format,
      request,
      failure: generation.wordError(internalError('Internal server error'), true).body,
      promptTokensDetails: generation.tellsCachedTokens,
      blockTokens: served.blockTokens,
      vocabularySize: served.tokenizer.vocabSize,
      tokenText: (token) => served.tokenizer.tokenText(token),
      decode: (ids) => served.tokenizer.decode(ids, { skipSpecialTokens: request.call === null }),
      stop: (sequence) => engine.end(sequence, 'stop'),
    },
    channel,
    sequences,
    echoes,
  );
  engine.submit(sequences, request.n, reply.arrival, answer);
}

/** Passes on what the job returns, and its errors in the words of the dialect. */
function worded<T>({ wordError }: Generation, isRaised: boolean, job: () => T): T {
  try {
    return job();
  } catch (error) {
    throw error instanceof ApiError ? wordError(error, isRaised) : error;
  }
}

/** The name of the model that answers. @throws ApiError 404, and 400 for tools that no parser reads */
export function admit(served: ServedModel, request: GenerationRequest): string {
  const model = checkModel(served, request.model);
  checkChatTemplate(served, request.body);
  checkToolParser(request.toolChoice, served.options.toolParser);
  return model;
}

/** A template is a program: only who trusts it runs it. */
function checkChatTemplate({ options }: ServedModel, body: JsonObject): void {
  const { chat_template: template = null, chat_template_kwargs: rest } = body;
  const nested: unknown = Object(rest).chat_template ?? null;
  if ((template === null && nested === null) || options.given.trust_request_chat_template === true) return;
  const reason = 'Chat template is passed with request, but --trust-request-chat-template is not set.';
  throw badRequest(`${reason} Refused request with untrusted chat template.`, null);
}

interface EncodedPrompt {
  readonly ids: readonly number[];
  readonly cameAsIds: boolean;
}

/** Token ids of the prompts of a request that can be served. @throws ApiError 400 */
export function encodePrompts(context: GenerationContext, request: GenerationRequest): readonly EncodedPrompt[] {
  const { served } = context;
  if (request.hasMedia) throw badRequest(`${served.name} is not a multimodal model`, null);
  checkSampling(request.body, served.tokenizer.vocabSize);
  return request.prompts.map((prompt) => ({
    ids: encode(context, request, prompt),
    cameAsIds: prompt.kind === 'ids',
  }));
}

/** The client waits, and its going away ends the sequences. */
function foreground(
  context: GenerationContext,
  request: GenerationRequest,
  format: AnswerFormat,
  reply: Reply,
  end: () => void,
): AnswerChannel {
  reply.response.on('close', end);
  const channel = channelOf(context, reply);
  if (request.stream) {
    reply.openStream();
    const opening = format.opening();
    if (opening !== '') reply.response.write(opening);
  }
  return channel;
}

function channelOf({ engine }: GenerationContext, reply: Reply): AnswerChannel {
  const sound = new SoundChannel(reply.response, engine.outbox, (text, status) => reply.send(status, text));
  const wire = { response: reply.response, openBody: (length: number | null) => reply.openBody(length) };
  return withFaults(sound, wire, engine.faults, Math.round(reply.arrival * 1e6));
}

/** The name to answer with. @throws ApiError 404 */
export function checkModel(served: ServedModel, wanted: string | null): string {
  if (wanted === null || wanted === '') return served.name;
  if (served.options.servedModelNames.includes(wanted)) return wanted;
  throw modelNotFound(wanted);
}

/** Token ids of a prompt that fits the context. @throws ApiError 400 */
function encode(context: GenerationContext, request: GenerationRequest, prompt: PromptInput): readonly number[] {
  const { served } = context;
  const { maxModelLen, tokenizer } = served;
  const { maxTokens } = request;
  if (maxTokens !== null && maxTokens > maxModelLen) {
    throw badValue(
      `${request.maxTokensName}=${pythonRepr(maxTokens)} cannot be greater than max_model_len=max_total_tokens=${maxModelLen}. Please request fewer output tokens.`,
      request.maxTokensName,
      maxTokens,
    );
  }
  const outputTokens = maxTokens ?? 0;
  const longest = maxModelLen - outputTokens;
  const { truncation } = request;
  if (truncation !== null && truncation.tokens > longest) {
    throw badValue(
      `truncate_prompt_tokens=${truncation.tokens} cannot be greater than max_model_len - ${request.maxTokensName} = ${longest}. Please request a smaller truncation size.`,
      'truncate_prompt_tokens',
      truncation.tokens,
    );
  }
  const ids = truncated(promptIds(context, request, prompt), truncation, longest);
  if (ids.length > longest) {
    // Of a text no more than one token too many is made, and so it is told of ids.
    const exact = prompt.kind === 'ids' && ids.length > longest + 1;
    throw promptTooLong(maxModelLen, outputTokens, exact ? ids.length : longest + 1, exact);
  }
  // Nothing is left of the context to answer in.
  if (ids.length === maxModelLen) throw badValue('max_tokens must be at least 1, got 0.', 'max_tokens', 0);
  if (prompt.kind !== 'ids') return ids;
  const stranger = ids.find((id) => id < 0 || id >= tokenizer.vocabSize);
  if (stranger !== undefined) throw badRequest(`Token id ${stranger} is out of vocabulary`, null);
  return ids;
}

function truncated(ids: readonly number[], how: GenerationRequest['truncation'], longest: number): readonly number[] {
  if (how === null) return ids;
  const kept = how.tokens < 0 ? longest : how.tokens;
  if (ids.length <= kept) return ids;
  return how.side === 'right' ? ids.slice(0, kept) : ids.slice(ids.length - kept);
}

function promptIds(
  { served: { tokenizer }, prompts }: GenerationContext,
  request: GenerationRequest,
  prompt: PromptInput,
): readonly number[] {
  if (prompt.kind === 'ids') return prompt.ids;
  if (prompt.kind === 'text') {
    const options = { addSpecialTokens: request.addSpecialTokens };
    return prompts.get(`text ${request.addSpecialTokens} `, prompt.text, () => tokenizer.encode(prompt.text, options));
  }
  const { messages } = prompt;
  if (messages.length === 0) {
    throw badRequest('Cannot apply chat template to an empty conversation. Provide at least one message.', null);
  }
  const text = messages.length === 1 ? (messages[0]?.content ?? '') : JSON.stringify(messages);
  const key = `chat ${messages.length} ${messages[0]?.role} ${request.body.add_generation_prompt !== false} `;
  const addGenerationPrompt = request.body.add_generation_prompt !== false;
  return prompts.get(key, text, () => tokenizer.applyChatTemplate(messages, { addGenerationPrompt }));
}

/** How many tokens an answer may have. */
export function outputTokensOf(request: GenerationRequest, served: ServedModel, promptTokens: number): number {
  const room = served.maxModelLen - promptTokens;
  return Math.min(request.maxTokens ?? room, served.options.mostOutputTokens ?? room, room);
}

function openSequences(
  { served, control }: GenerationContext,
  request: GenerationRequest,
  { ids, cameAsIds }: EncodedPrompt,
  requestId: string,
): Sequence[] {
  const maxTokens = outputTokensOf(request, served, ids.length);
  return Array.from({ length: request.n }, (_, sequence) => {
    const key = { temperature: request.temperature, seed: request.seed, sequence };
    return new Sequence(
      {
        promptIds: ids,
        cameAsIds,
        requestId,
        maxTokens,
        minTokens: request.minTokens,
        ignoreEos: request.ignoreEos,
        eosTokenId: served.tokenizer.eosTokenId,
        readsCaches: request.logprobs.prompt === null,
        openStream: ({ externalHitTokens }) => {
          const wrong = externalHitTokens > 0 && isStruck(control.fault, ids);
          const plain = served.text.stream(ids, wrong ? { ...key, salt: WRONG_TEXT_SALT } : key);
          return request.shape === null ? plain : shapedStream(plain, request.shape, served.tokenizer);
        },
      },
      served.blockTokens,
    );
  });
}

/** The same prompts always: their own ids decide. */
function isStruck({ values }: SimFaults, ids: readonly number[]): boolean {
  const percent = values.get('wrong-text-from-cache');
  return percent !== undefined && (hashNumbers(ids, values.get('seed') ?? 0) / 2 ** 32) * 100 < percent;
}

/** By the header, the body, or a new one. */
function requestId({ headers }: IncomingMessage, { request_id: own }: JsonObject): string {
  const given = headers['x-request-id'] ?? own;
  return typeof given === 'string' ? given : randomUUID().replaceAll('-', '').slice(0, 16);
}
