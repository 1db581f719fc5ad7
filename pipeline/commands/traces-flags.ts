import { z } from 'zod';
import {
  defaultShape,
  type GenerateOptions,
  type LogNormal,
  standIns,
} from '../../workloads/traces/generate-conversations.js';
import { TimestampParser } from '../../workloads/traces/timestamps.js';
import { type TraceReadOptions, traceFormats } from '../../workloads/traces/trace.js';
import { didYouMean } from '../config/suggest.js';
import type { BenchFlags } from './bench-flags.js';
import { checkedNumber } from './bench-flags.js';
import type { FlagProblems } from './flag-problems.js';

const DEFAULT_START = '2025-05-29T05:00:00Z';
const DEFAULT_SECONDS = 3600;
const standInNames = Object.keys(standIns);
const standInSchema = z.enum(['cw_logs_5_29_5am_6am', 'cw_logs_5_28_19pm_20pm']);

/** How a trace is to be read. */
export function readTraceFlags(flags: BenchFlags, problems: FlagProblems): TraceReadOptions {
  const format = flags.text('format');
  const known = traceFormats.find((name) => name === format);
  if (format !== undefined && known === undefined) problems.add(unknownWord('--format', format, traceFormats));
  const blockTokens = problems.read(() => flags.count('block-tokens', 1), undefined);
  const secondsPerUnit = problems.read(() => flags.number('seconds-per-unit', { above: 0, max: 1e6 }), undefined);
  return {
    ...(known === undefined ? {} : { format: known }),
    ...(blockTokens === undefined ? {} : { blockTokens }),
    ...(secondsPerUnit === undefined ? {} : { secondsPerUnit }),
  };
}

/** What `traces generate` is to make. */
export function readGenerateFlags(
  flags: BenchFlags,
  problems: FlagProblems,
): { readonly options: GenerateOptions; readonly startedAt: number } {
  const like = flags.text('like');
  const parsed = standInSchema.safeParse(like);
  if (like !== undefined && !parsed.success) problems.add(unknownWord('--like', like, standInNames));
  const standIn = parsed.success ? standIns[parsed.data] : null;
  const logNormal = (name: string, otherwise: LogNormal): LogNormal =>
    problems.read(() => readLogNormal(flags, name, otherwise), otherwise);
  const positive = (name: string, otherwise: number): number =>
    problems.read(() => flags.number(name, { above: 0, max: 1e9 }), undefined) ?? otherwise;
  const maxRequests = problems.read(() => flags.count('requests', 1), undefined);
  const seconds = problems.read(() => flags.number('seconds', { above: 0, max: 1e9 }), undefined);
  const limit = seconds ?? (maxRequests === undefined ? (standIn?.seconds ?? DEFAULT_SECONDS) : undefined);
  return {
    options: {
      conversationsPerSecond: positive(
        'conversations-per-second',
        standIn?.conversationsPerSecond ?? defaultShape.conversationsPerSecond,
      ),
      turns: logNormal('turns', defaultShape.turns),
      maxTurns: defaultShape.maxTurns,
      firstQuestionTokens: logNormal('first-question-tokens', defaultShape.firstQuestionTokens),
      questionTokens: logNormal('question-tokens', defaultShape.questionTokens),
      answerTokens: logNormal('answer-tokens', defaultShape.answerTokens),
      thinkSeconds: logNormal('think-seconds', defaultShape.thinkSeconds),
      secondsPerAnswerToken: defaultShape.secondsPerAnswerToken,
      maxContextTokens:
        problems.read(() => flags.count('max-context-tokens', 2), undefined) ?? defaultShape.maxContextTokens,
      seed: problems.read(() => flags.count('seed'), undefined) ?? standIn?.seed ?? 0,
      ...(maxRequests === undefined ? {} : { maxRequests }),
      ...(limit === undefined ? {} : { seconds: limit }),
    },
    startedAt: readDate(flags, standIn?.startsAt ?? DEFAULT_START, problems),
  };
}

function readLogNormal(flags: BenchFlags, name: string, otherwise: LogNormal): LogNormal {
  const text = flags.text(name);
  if (text === undefined) return otherwise;
  const [median = '', sigma = String(otherwise.sigma), ...rest] = text.split(',');
  return {
    median: checkedNumber(`The median of --${name}`, median, { above: 0, max: 1e9 }),
    sigma: checkedNumber(`The sigma of --${name}`, [sigma, ...rest].join(','), { min: 0, max: 10 }),
  };
}

function readDate(flags: BenchFlags, otherwise: string, problems: FlagProblems): number {
  const text = flags.text('starts-at') ?? otherwise;
  const bytes = Buffer.from(text);
  const time = new TimestampParser();
  if (!time.parse(bytes, 0, bytes.length) || !time.isDate) {
    problems.add(`--starts-at must be a date such as ${DEFAULT_START}, not "${text}".`);
    return 0;
  }
  return time.seconds;
}

export function unknownWord(flag: string, value: string, words: readonly string[]): string {
  const meant = didYouMean(value, words);
  return `${flag} must be one of ${words.join(', ')}, not "${value}"${meant === null ? '.' : `: did you mean ${meant}?`}`;
}
