import { estimateTokens, type Trace, TraceFileError, type TraceRequest } from '../../workloads/traces/trace.js';
import { TraceSource } from '../../workloads/traces/trace-source.js';

/** One turn of a conversation, as a reader of your own tells it. */
export interface DatasetTurn {
  /** Any name; turns of one conversation come in order. */
  readonly conversation: string;
  /** Seconds on any clock that goes up. */
  readonly timeSeconds: number;
  /** The question, or how many tokens it has. */
  readonly question: string | number;
  /** The answer, or how many tokens it has. */
  readonly answer: string | number;
}

/** Reads a file of a form of your own. */
export type DatasetReader = (path: string) => AsyncIterable<DatasetTurn>;

/** A file as a reader of your own tells it, as a trace that can be replayed. */
export function traceOf(path: string, format: string, reader: DatasetReader): Trace {
  return new ReaderTrace(path, format, reader);
}

class ReaderTrace extends TraceSource {
  // Its true name stands in the configuration.
  readonly format = 'conversation-csv';
  readonly hasTimes = true;
  readonly blockTokens = null;
  readonly #name: string;
  readonly #reader: DatasetReader;

  constructor(path: string, name: string, reader: DatasetReader) {
    super(path);
    this.#name = name;
    this.#reader = reader;
  }

  protected async *read(): AsyncGenerator<readonly TraceRequest[]> {
    const conversations = new Map<string, { readonly number: number; turns: number; history: number }>();
    let index = 0;
    for await (const { conversation: name, timeSeconds, question, answer } of this.#reader(this.path)) {
      const newTokens = this.#tokens(question, index, 'question');
      const outputTokens = this.#tokens(answer, index, 'answer');
      if (!Number.isFinite(timeSeconds)) throw this.#wrong(index, `timeSeconds is "${timeSeconds}"; allowed: a number`);
      const known = conversations.get(name) ?? { number: conversations.size, turns: 0, history: 0 };
      const promptTokens = known.history + newTokens;
      yield [
        {
          index,
          timeSeconds: this.sinceFirst(timeSeconds, false),
          conversation: known.number,
          conversationId: name,
          turn: known.turns,
          newTokens,
          promptTokens,
          outputTokens,
          ...(typeof question === 'string' ? { inputText: question } : {}),
          ...(typeof answer === 'string' ? { outputText: answer } : {}),
        },
      ];
      conversations.set(name, { number: known.number, turns: known.turns + 1, history: promptTokens + outputTokens });
      index += 1;
    }
  }

  #tokens(value: string | number, index: number, what: string): number {
    const tokens = typeof value === 'string' ? estimateTokens(value) : value;
    if (Number.isInteger(tokens) && tokens >= 1) return tokens;
    throw this.#wrong(index, `${what} is "${value}"; allowed: a text, or a whole number of tokens from 1`);
  }

  #wrong(index: number, message: string): TraceFileError {
    return new TraceFileError(this.path, `turn ${index + 1} of the reader "${this.#name}": ${message}`);
  }
}
