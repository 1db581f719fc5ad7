/** Flags of the multi-round QA of vLLM's production stack and of LMCache, by its names. */
export interface MultiRoundQaPlanOptions {
  /** Users at once. */
  readonly numUsers: number;
  /** Words ("hi") of the system prompt that all users share. */
  readonly sharedSystemPrompt: number;
  /** Words of each user's own context. */
  readonly userHistoryPrompt: number;
  /** Rounds of a conversation. */
  readonly numRounds: number;
  /** Requests a second of all users together. */
  readonly qps: number;
  /** Seconds of the server's time; nothing is due later. */
  readonly timeSeconds: number;
  /** The first user is one more; default 0. */
  readonly initUserId?: number;
}

/** One user's conversation. */
export interface MultiRoundQaUser {
  readonly userId: number;
  /** Those before are taken as asked before the run. From 1. */
  readonly firstQuestion: number;
  /** Seconds after the start. */
  readonly firstDueSeconds: number;
}

const WARMUP_PROMPTS = 10;

const words = (count: number): string => new Array<string>(count).fill('hi').join(' ');

/** Seconds between two questions of one user. */
export function questionGapSeconds(options: MultiRoundQaPlanOptions): number {
  return options.numUsers / options.qps;
}

/**
 * Who asks when, as multi-round-qa.py of vllm-project/production-stack has it: the run begins in the middle, with as
 * many users as there shall be, each one some questions further than the next; then users join at even distances. Its
 * loop looks every 0.1 s; here everything is due exactly.
 * @throws RangeError for numbers that give no load
 */
export function multiRoundQaUsers(options: MultiRoundQaPlanOptions): MultiRoundQaUser[] {
  const { numUsers, numRounds, timeSeconds } = options;
  check(options);
  const gap = questionGapSeconds(options);
  const rampUpSeconds = gap * (numRounds - 1);
  const userGap = rampUpSeconds / numUsers;
  const firstId = (options.initUserId ?? 0) + 1;
  const users: MultiRoundQaUser[] = [];
  for (let index = 0; index < numUsers; index += 1) {
    const offset = rampUpSeconds - index * userGap;
    const passed = Math.trunc(offset / gap) + 1;
    if (passed < numRounds) {
      users.push({ userId: firstId + index, firstQuestion: passed + 1, firstDueSeconds: passed * gap - offset });
    }
  }
  const joining = userGap > 0 ? Math.floor(timeSeconds / userGap) + 1 : numUsers;
  for (let index = 0; index < joining; index += 1) {
    users.push({ userId: firstId + numUsers + index, firstQuestion: 1, firstDueSeconds: index * userGap });
  }
  return users.filter(({ firstDueSeconds }) => firstDueSeconds <= timeSeconds);
}

/** Requests that are due in time when each answer comes before the next question. */
export function countMultiRoundQaRequests(options: MultiRoundQaPlanOptions): number {
  const gap = questionGapSeconds(options);
  return multiRoundQaUsers(options).reduce((total, { firstQuestion, firstDueSeconds }) => {
    const inTime = Math.floor((options.timeSeconds - firstDueSeconds) / gap) + 1;
    return total + Math.min(options.numRounds - firstQuestion + 1, inTime);
  }, 0);
}

/** A user's question; the first that is really asked brings the context along. */
export function multiRoundQaQuestion(
  options: MultiRoundQaPlanOptions,
  user: MultiRoundQaUser,
  question: number,
): string {
  const text = `Here's question #${question}: can you tell me a new long story with a happy ending?`;
  if (question > user.firstQuestion) {
    return text;
  }
  return (
    `Hi, here's some system prompt: ${words(options.sharedSystemPrompt)}.` +
    `For user ${user.userId}, here are some other context: ${words(options.userHistoryPrompt)}.${text}`
  );
}

/** Sent ahead, unmeasured. */
export function multiRoundQaWarmup(): string[] {
  return Array.from(
    { length: WARMUP_PROMPTS },
    (_, user) => `WARMUP: Hi, I'm user ${user}. Here are some text: ${'hi '.repeat(100)}.`,
  );
}

function check(options: MultiRoundQaPlanOptions): void {
  for (const name of ['numUsers', 'numRounds'] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1) {
      throw new RangeError(`${name} must be a whole number of at least 1, not "${options[name]}".`);
    }
  }
  for (const name of ['qps', 'timeSeconds'] as const) {
    if (!(options[name] > 0 && options[name] < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`${name} must be above 0, not "${options[name]}".`);
    }
  }
}
