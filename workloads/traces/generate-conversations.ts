import { RandomDraws } from './random-draws.js';
import type { TraceRequest } from './trace.js';

/** A log-normal distribution: half of the draws are above the median. */
export interface LogNormal {
  readonly median: number;
  readonly sigma: number;
}

/** What decides the conversations. Tokens are those of the model, seconds those of the users' clocks. */
export interface ConversationShape {
  /** New conversations a second; their starts are a Poisson process. */
  readonly conversationsPerSecond: number;
  /** Requests of a conversation, rounded, at least 1. */
  readonly turns: LogNormal;
  readonly maxTurns: number;
  /** The first question: instructions and documents come with it. */
  readonly firstQuestionTokens: LogNormal;
  /** Every later question. */
  readonly questionTokens: LogNormal;
  readonly answerTokens: LogNormal;
  /** From the end of an answer to the next question. */
  readonly thinkSeconds: LogNormal;
  /** How long an answer takes: this much a token. */
  readonly secondsPerAnswerToken: number;
  /** A conversation ends before its prompt and answer would exceed this. */
  readonly maxContextTokens: number;
}

export interface GenerateOptions extends ConversationShape {
  readonly seed: number;
  /** Stop after so many requests; default: no limit. */
  readonly maxRequests?: number;
  /** No request is later than this; default: no limit. At least one of the two limits must be given. */
  readonly seconds?: number;
}

/** Customer support as in the data sets of the original cache benchmark runner: short questions, some long histories. */
export const defaultShape: ConversationShape = {
  conversationsPerSecond: 0.25,
  turns: { median: 3, sigma: 0.9 },
  maxTurns: 60,
  firstQuestionTokens: { median: 900, sigma: 0.8 },
  questionTokens: { median: 120, sigma: 1 },
  answerTokens: { median: 220, sigma: 0.7 },
  thinkSeconds: { median: 45, sigma: 1 },
  secondsPerAnswerToken: 0.02,
  maxContextTokens: 16_384,
};

/** Stand-ins, by the names of the original runner's data sets, which are not public: an hour off-peak, one at peak. */
export const standIns = {
  cw_logs_5_29_5am_6am: { conversationsPerSecond: 0.25, seconds: 3600, seed: 529, startsAt: '2025-05-29T05:00:00Z' },
  cw_logs_5_28_19pm_20pm: { conversationsPerSecond: 0.6, seconds: 3600, seed: 528, startsAt: '2025-05-28T19:00:00Z' },
} as const;

/** Times for a trace that has none, conversation after conversation: those that the default shape would have. */
export class MadeTimes {
  readonly #draws: RandomDraws;
  #start = 0;
  #last = 0;

  constructor(seed: number) {
    this.#draws = new RandomDraws(seed);
  }

  /** @param turn of the next request; 0: a new conversation. */
  next(turn: number): number {
    const { conversationsPerSecond, thinkSeconds } = defaultShape;
    if (turn === 0) {
      this.#start += this.#draws.exponential(1 / conversationsPerSecond);
      this.#last = this.#start;
    } else {
      this.#last += this.#draws.logNormal(thinkSeconds.median, thinkSeconds.sigma);
    }
    return this.#last;
  }
}

interface Live {
  readonly number: number;
  turn: number;
  readonly turns: number;
  history: number;
  newTokens: number;
  outputTokens: number;
  dueSeconds: number;
}

/**
 * Conversations that start, think and end as people's do, their requests in order of time. Only live conversations are
 * held in memory.
 * @throws RangeError for a shape that cannot be drawn, or without a limit
 */
export function* generateConversations(options: GenerateOptions): Generator<TraceRequest> {
  checkShape(options);
  const { maxRequests = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY } = options;
  const draws = new RandomDraws(options.seed);
  const live = new DueQueue();
  let conversations = 0;
  let nextStart = 0;
  let first: number | null = null;
  for (let index = 0; index < maxRequests; index += 1) {
    while (live.nextDue() >= nextStart) {
      live.add(startConversation(conversations, nextStart, options, draws));
      conversations += 1;
      nextStart += draws.exponential(1 / options.conversationsPerSecond);
    }
    const next = live.take();
    if (next === null || next.dueSeconds > seconds) {
      return;
    }
    first ??= next.dueSeconds;
    const promptTokens = next.history + next.newTokens;
    yield {
      index,
      timeSeconds: next.dueSeconds - first,
      conversation: next.number,
      conversationId: conversationName(options.seed, next.number),
      turn: next.turn,
      newTokens: next.newTokens,
      promptTokens,
      outputTokens: next.outputTokens,
    };
    if (continueConversation(next, promptTokens + next.outputTokens, options, draws)) {
      live.add(next);
    }
  }
}

function startConversation(number: number, at: number, shape: ConversationShape, draws: RandomDraws): Live {
  const turns = Math.min(
    shape.maxTurns,
    Math.max(1, Math.round(draws.logNormal(shape.turns.median, shape.turns.sigma))),
  );
  const outputTokens = Math.min(tokensOf(shape.answerTokens, draws), Math.floor(shape.maxContextTokens / 2));
  const newTokens = Math.min(tokensOf(shape.firstQuestionTokens, draws), shape.maxContextTokens - outputTokens);
  return { number, turn: 0, turns, history: 0, newTokens, outputTokens, dueSeconds: at };
}

/** @returns false when it is over. */
function continueConversation(live: Live, history: number, shape: ConversationShape, draws: RandomDraws): boolean {
  const answered = live.dueSeconds + live.outputTokens * shape.secondsPerAnswerToken;
  live.turn += 1;
  live.history = history;
  live.newTokens = tokensOf(shape.questionTokens, draws);
  live.outputTokens = tokensOf(shape.answerTokens, draws);
  live.dueSeconds = answered + draws.logNormal(shape.thinkSeconds.median, shape.thinkSeconds.sigma);
  return live.turn < live.turns && history + live.newTokens + live.outputTokens <= shape.maxContextTokens;
}

function tokensOf(distribution: LogNormal, draws: RandomDraws): number {
  return Math.max(1, Math.round(draws.logNormal(distribution.median, distribution.sigma)));
}

/** A UUID's form, as customers' logs have it, told by seed and number. */
function conversationName(seed: number, number: number): string {
  const mixed = (salt: number): string => {
    let value = Math.imul((number ^ Math.imul(seed + salt, 0x9e3779b1)) >>> 0, 0x85ebca6b);
    value = Math.imul(value ^ (value >>> 15), 0xc2b2ae35);
    return ((value ^ (value >>> 16)) >>> 0).toString(16).padStart(8, '0');
  };
  const [a, b, c] = [mixed(1), mixed(2), mixed(3)];
  const counter = number.toString(16).padStart(8, '0');
  return `${counter}-${a.slice(0, 4)}-4${a.slice(4, 7)}-a${b.slice(0, 3)}-${b.slice(3, 8)}${c.slice(0, 7)}`;
}

function checkShape(options: GenerateOptions): void {
  if (options.maxRequests === undefined && options.seconds === undefined) {
    throw new RangeError('A limit is needed: maxRequests or seconds.');
  }
  const mustBePositive: readonly (readonly [string, number])[] = [
    ['conversationsPerSecond', options.conversationsPerSecond],
    ['maxTurns', options.maxTurns],
    ['maxContextTokens', options.maxContextTokens - 1],
    ['turns.median', options.turns.median],
    ['firstQuestionTokens.median', options.firstQuestionTokens.median],
    ['questionTokens.median', options.questionTokens.median],
    ['answerTokens.median', options.answerTokens.median],
    ['thinkSeconds.median', options.thinkSeconds.median],
  ];
  for (const [name, value] of mustBePositive) {
    if (!(value > 0 && value < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`${name} must be above 0, not "${value}".`);
    }
  }
}

/** A binary heap by due time; ties by the conversation's number. */
class DueQueue {
  readonly #heap: Live[] = [];

  nextDue(): number {
    return this.#heap[0]?.dueSeconds ?? Number.POSITIVE_INFINITY;
  }

  add(live: Live): void {
    const heap = this.#heap;
    let child = heap.length;
    heap.push(live);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as Live;
      if (!isBefore(live, above)) {
        break;
      }
      heap[child] = above;
      child = parent;
    }
    heap[child] = live;
  }

  take(): Live | null {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) {
      return null;
    }
    if (heap.length > 0) {
      let parent = 0;
      for (;;) {
        let child = 2 * parent + 1;
        const left = heap[child];
        const right = heap[child + 1];
        if (left === undefined) {
          break;
        }
        let smaller = left;
        if (right !== undefined && isBefore(right, left)) {
          smaller = right;
          child += 1;
        }
        if (!isBefore(smaller, last)) {
          break;
        }
        heap[parent] = smaller;
        parent = child;
      }
      heap[parent] = last;
    }
    return top;
  }
}

function isBefore(a: Live, b: Live): boolean {
  return a.dueSeconds < b.dueSeconds || (a.dueSeconds === b.dueSeconds && a.number < b.number);
}
