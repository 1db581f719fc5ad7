import type { FinishReason, Sequence } from '../engine/sequence.js';
import type { AnswerChannel } from './answer-channel.js';
import type { AnswerFormat, ChunkPart, FinishedChoice, Usage } from './answer-format.js';
import type { GenerationRequest } from './generation-request.js';
import { joinedCompletion, SequenceLogprobs } from './logprobs-format.js';
import { StopStringScanner } from './stop-strings.js';
import { ToolCallReader } from './tool-call-reader.js';

/** What an answer needs to know about its server. */
export interface AnswerContext {
  readonly format: AnswerFormat;
  readonly request: GenerationRequest;
  /** The body of an answer whose request the engine fails. */
  readonly failure: string;
  readonly promptTokensDetails: boolean;
  readonly blockTokens: number;
  readonly vocabularySize: number;
  /** Text a token adds. */
  tokenText(id: number): string;
  /** Text of several tokens, which may share a character; with special tokens where they mark a tool's call. */
  decode(ids: readonly number[]): string;
  /** Ends a sequence whose answer holds a stop string. */
  stop(sequence: Sequence): void;
}

interface Choice {
  readonly sequence: Sequence;
  readonly index: number;
  readonly scanner: StopStringScanner;
  /** null: nobody asked. */
  readonly logprobs: SequenceLogprobs | null;
  /** null: the answer is text. */
  readonly toolCall: ToolCallReader | null;
  /** Tokens of a character that is not complete yet. */
  incomplete: readonly number[];
  /** Whole text; kept only for answers that are not streamed. */
  text: string;
  started: boolean;
  finishReason: FinishReason | null;
  stopReason: string | null;
}

/** What stands for bytes that are no character. */
const REPLACEMENT = '\ufffd';
/** Bytes of UTF-8, each a token at most. */
const LONGEST_CHARACTER = 4;

/** One HTTP answer that grows token by token: streamed as events, or sent as one body at the end. */
export class Answer {
  readonly #context: AnswerContext;
  readonly #channel: AnswerChannel;
  readonly #choices = new Map<Sequence, Choice>();
  #unfinished: number;

  /**
   * @param sequences n for each prompt, in the order of their choice indexes.
   * @param echoes for each sequence the text that precedes the answer (echo), or ''.
   */
  constructor(
    context: AnswerContext,
    channel: AnswerChannel,
    sequences: readonly Sequence[],
    echoes: readonly string[],
  ) {
    this.#context = context;
    this.#channel = channel;
    this.#unfinished = sequences.length;
    const { stop, includeStop } = context.request;
    for (const [index, sequence] of sequences.entries()) {
      this.#choices.set(sequence, {
        sequence,
        index,
        scanner: new StopStringScanner(stop, includeStop),
        logprobs: this.#logprobsOf(sequence),
        toolCall: context.request.call === null ? null : new ToolCallReader(context.request.call),
        incomplete: [],
        text: echoes[index] ?? '',
        started: false,
        finishReason: null,
        stopReason: null,
      });
    }
  }

  #logprobsOf({ promptIds }: Sequence): SequenceLogprobs | null {
    const { logprobs, temperature } = this.#context.request;
    if (logprobs.generated === null && logprobs.prompt === null) return null;
    return new SequenceLogprobs(logprobs, this.#context, promptIds, temperature === 0);
  }

  /** A sequence of this answer got its next token, or was aborted or failed without one. */
  onToken(sequence: Sequence): void {
    const choice = this.#choices.get(sequence);
    if (choice === undefined || choice.finishReason !== null) return;
    if (sequence.finished === 'abort' || sequence.finished === 'error') {
      this.#endWithoutToken(choice, sequence.finished);
      return;
    }
    const id = sequence.outputIds[sequence.outputIds.length - 1] ?? 0;
    const ended = sequence.finished;
    const isShown = ended !== 'stop' && !this.#context.request.echoOnly;
    const addedText = isShown ? this.#textOf(choice, id) : '';
    const delta = choice.scanner.push(addedText, ended !== null);
    choice.finishReason = delta.stoppedBy === null ? ended : 'stop';
    choice.stopReason = delta.stoppedBy;
    if (choice.finishReason !== null) this.#unfinished -= 1;
    if (this.#context.request.stream) this.#writeChunk(choice, delta.text, id);
    else choice.text += delta.text;
    if (delta.stoppedBy !== null) this.#context.stop(sequence);
    if (this.#unfinished === 0 && !this.#context.request.stream) this.#sendWhole();
  }

  #endWithoutToken(choice: Choice, reason: 'abort' | 'error'): void {
    choice.finishReason = reason;
    this.#unfinished -= 1;
    if (reason === 'error' && this.#context.request.stream && this.#isEndedBy(choice)) return;
    const { text } = choice.scanner.push('', true);
    if (this.#context.request.stream) this.#writeChunk(choice, text, null);
    else choice.text += text;
    if (this.#unfinished === 0 && !this.#context.request.stream) this.#sendWhole();
  }

  /** True when the stream ends with the failure of this choice. */
  #isEndedBy({ started }: Choice): boolean {
    const failure = this.#context.format.failure(started);
    if (failure.kind === 'untold') return false;
    // Nothing follows, of other choices neither.
    for (const choice of this.#choices.values()) choice.finishReason ??= 'abort';
    if (failure.kind === 'told') this.#channel.lastEvents(failure.lastEvents);
    else this.#channel.breakOff();
    return true;
  }

  /** What a token adds; a character that takes several tokens comes with its last one. Special tokens mark a call. */
  #textOf(choice: Choice, id: number): string {
    if (choice.incomplete.length === 0) {
      const text = this.#context.tokenText(id);
      const isMark = text === '' && choice.toolCall !== null;
      if (!isMark && !text.includes(REPLACEMENT)) return text;
    }
    const ids = [...choice.incomplete, id];
    const text = this.#context.decode(ids);
    const isIncomplete = text.endsWith(REPLACEMENT) && ids.length < LONGEST_CHARACTER;
    choice.incomplete = isIncomplete ? ids : [];
    return isIncomplete ? '' : text;
  }

  /** @param tokenId null: the sequence has ended without one. */
  #writeChunk(choice: Choice, text: string, tokenId: number | null): void {
    const { request, format } = this.#context;
    const { sequence, index } = choice;
    const newIds = tokenId === null ? [] : [tokenId];
    // Whoever has the prompt echoed gets its ids too, asked for or not.
    const tellsPrompt = !choice.started && (request.returnTokenIds || request.echo);
    const promptIds = tellsPrompt ? sequence.promptIds : null;
    const usageOf = (tokens: number): Usage | null =>
      request.continuousUsage
        ? { promptTokens: sequence.promptIds.length, completionTokens: tokens, details: null }
        : null;
    let event = '';
    if (!choice.started) event += format.start(index, usageOf(0), promptIds);
    const shown = choice.started ? text : choice.text + text;
    const part: ChunkPart = {
      index,
      text: shown,
      toolDeltas: choice.toolCall?.push(text) ?? null,
      read: choice.finishReason === null ? null : (choice.toolCall?.whole() ?? null),
      finishReason: choice.finishReason,
      endsAsCall: endsAsCall(choice, true),
      stopReason: choice.stopReason,
      tokenIds: request.returnTokenIds ? newIds : null,
      promptTokenIds: promptIds,
      logprobs: this.#tokenLogprobs(choice, newIds, !choice.started),
    };
    // Of a call nothing may be new yet, and an answer may end before it begins: then no event leaves.
    const isSilent =
      (tokenId === null && !choice.started) ||
      (part.toolDeltas?.length === 0 && part.finishReason === null && !request.returnTokenIds);
    const isLast = this.#unfinished === 0;
    if (!isSilent) {
      event += format.content(part, usageOf(sequence.outputIds.length), isLast && !request.includeUsage);
    }
    choice.started = true;
    if (!isLast) {
      if (event !== '') this.#channel.events(event);
      return;
    }
    this.#channel.lastEvents(event + format.end(request.includeUsage ? this.#usage() : null));
  }

  /** Of the next tokens, and of the prompt's where it is echoed before them. */
  #tokenLogprobs({ logprobs }: Choice, ids: readonly number[], atStart: boolean): unknown {
    if (logprobs === null) return null;
    const { request } = this.#context;
    if (request.endpoint === 'chat') return logprobs.chat(ids);
    const echoed = atStart && request.echo && request.logprobs.generated !== null ? logprobs.echoed() : null;
    return joinedCompletion(echoed, request.echoOnly ? null : logprobs.completion(ids));
  }

  #sendWhole(): void {
    if ([...this.#choices.values()].some(({ finishReason }) => finishReason === 'error')) {
      this.#channel.failure(this.#context.failure);
      return;
    }
    const { returnTokenIds } = this.#context.request;
    const choices = [...this.#choices.values()].map((choice): FinishedChoice => {
      const { sequence, index, text, stopReason, toolCall } = choice;
      toolCall?.push(text);
      const { content, calls } = toolCall?.whole() ?? { content: text, calls: [] };
      return {
        index,
        text: content,
        calls,
        finishReason: choice.finishReason ?? 'length',
        endsAsCall: endsAsCall(choice, false),
        stopReason,
        tokenIds: returnTokenIds ? sequence.outputIds : null,
        promptTokenIds: returnTokenIds ? sequence.promptIds : null,
        logprobs: this.#tokenLogprobs(choice, sequence.outputIds, true),
        promptLogprobs: choice.logprobs?.promptLogprobs() ?? null,
      };
    });
    this.#channel.body(this.#context.format.body(choices, this.#usage()));
  }

  /** A prompt counts once, however many answers it gets. */
  #usage(): Usage {
    const sequences = [...this.#choices.keys()];
    const prompts = sequences.filter((_, index) => index % this.#context.request.n === 0);
    const last = sequences[sequences.length - 1];
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
    const cachedTokens = last?.cachedTokens ?? 0;
    const { blockTokens } = this.#context;
    const fullBlocks = Math.floor((last?.promptIds.length ?? 0) / blockTokens) * blockTokens;
    return {
      promptTokens: sum(prompts.map((sequence) => sequence.promptIds.length)),
      completionTokens: sum(sequences.map((sequence) => sequence.outputIds.length)),
      details: this.#context.promptTokensDetails
        ? { cachedTokens, createdCacheTokens: Math.max(0, fullBlocks - cachedTokens) }
        : null,
    };
  }
}

function endsAsCall({ finishReason, toolCall }: Choice, isStream: boolean): boolean {
  return finishReason !== null && (toolCall?.endsAsCall(finishReason, isStream) ?? false);
}
