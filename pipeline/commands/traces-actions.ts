import { performance } from 'node:perf_hooks';
import { formatDuration, formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { convertTrace } from '../../workloads/traces/convert-trace.js';
import { describeTrace } from '../../workloads/traces/describe-trace.js';
import { generateConversations } from '../../workloads/traces/generate-conversations.js';
import { openTrace } from '../../workloads/traces/open-trace.js';
import { TraceFileError } from '../../workloads/traces/trace.js';
import { writeConversationCsv } from '../../workloads/traces/write-csv.js';
import { InterruptedError, listenForInterruption } from '../interruption.js';
import { UsageError } from '../usage-error.js';
import { BenchFlags } from './bench-flags.js';
import { isFileError } from './file-error.js';
import { FlagProblems } from './flag-problems.js';
import { ProgressLine } from './progress-line.js';
import { readGenerateFlags, readTraceFlags } from './traces-flags.js';

/** @returns the exit code. @throws UsageError */
export async function runTraces(parsed: Readonly<Record<string, unknown>>): Promise<number> {
  const flags = new BenchFlags(parsed);
  const files = flags.list('files');
  const interruption = listenForInterruption((_, first) => {
    if (first) process.stderr.write('Interrupted: removing what is not finished.\n');
  });
  try {
    switch (flags.text('action')) {
      case 'generate':
        return await generate(flags, files, interruption.signal);
      case 'convert':
        return await convert(flags, files, interruption.signal);
      default:
        return await describe(flags, files, interruption.signal);
    }
  } catch (error) {
    if (error instanceof InterruptedError) return interruptExitCodes[error.signalName];
    if (error instanceof TraceFileError || isFileError(error)) throw new UsageError(error.message);
    throw error;
  } finally {
    interruption.dispose();
  }
}

async function generate(flags: BenchFlags, files: readonly string[], signal: AbortSignal): Promise<number> {
  const problems = new FlagProblems();
  const [output] = takeFiles(files, 'generate', ['FILE.csv'], problems);
  const { options, startedAt } = readGenerateFlags(flags, problems);
  problems.throwIfAny();
  const rows = await writeConversationCsv(output ?? '', generateConversations(options), startedAt, signal);
  process.stdout.write(`${output}: ${formatNumber(rows)} requests, seed ${options.seed}. Made up: nobody said this.\n`);
  return 0;
}

async function convert(flags: BenchFlags, files: readonly string[], signal: AbortSignal): Promise<number> {
  const problems = new FlagProblems();
  const [input = '', output = ''] = takeFiles(files, 'convert', ['TRACE', 'FILE.lctrace'], problems);
  const options = readTraceFlags(flags, problems);
  problems.throwIfAny();
  const startedAt = performance.now();
  const progress = new ProgressLine(process.stderr);
  const converted = await convertTrace(await openTrace(input, options), output, {
    signal,
    onProgress: (requests) => progress.update(`${formatNumber(requests)} requests`),
  }).finally(() => progress.clear());
  const seconds = (performance.now() - startedAt) / 1000;
  const { requests, conversations, sorted } = converted;
  process.stdout.write(
    `${output}: ${formatNumber(requests)} requests of ${formatNumber(conversations)} conversations in ${formatDuration(seconds)} (${formatNumber(Math.round(requests / seconds))} rows/s)${sorted ? '; sorted by time' : ''}\n`,
  );
  for (const [note, count] of converted.notes) process.stdout.write(`${note}: ${formatNumber(count)}\n`);
  return 0;
}

async function describe(flags: BenchFlags, files: readonly string[], signal: AbortSignal): Promise<number> {
  const problems = new FlagProblems();
  const [input = ''] = takeFiles(files, 'describe', ['TRACE'], problems);
  const options = readTraceFlags(flags, problems);
  problems.throwIfAny();
  const facts = await describeTrace(input, options, signal);
  if (flags.isOn('json')) {
    process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
    return 0;
  }
  const rows = [
    ['form', facts.format],
    ['requests', formatNumber(facts.requests)],
    ['conversations', formatNumber(facts.conversations)],
    ['turns a conversation', `${formatNumber(facts.turns.mean)} on average, ${formatNumber(facts.turns.max)} at most`],
    ['span', facts.spanSeconds === null ? 'no times' : formatDuration(facts.spanSeconds)],
    ['requests a second', formatNumber(facts.requestsPerSecond)],
    ...(['newTokens', 'promptTokens', 'outputTokens'] as const).map((name) => [
      { newTokens: 'question tokens', promptTokens: 'prompt tokens', outputTokens: 'answer tokens' }[name],
      `${formatNumber(facts[name].mean)} on average, ${formatNumber(facts[name].max)} at most`,
    ]),
    ...facts.notes.map(({ note, count }) => ['note', `${note}: ${formatNumber(count)}`]),
  ];
  process.stdout.write(`${textTable(rows, [])}\n`);
  return 0;
}

function takeFiles(
  files: readonly string[],
  action: string,
  wanted: readonly string[],
  problems: FlagProblems,
): readonly string[] {
  if (files.length !== wanted.length) {
    const given = files.length === 0 ? 'none' : files.map((file) => `"${file}"`).join(' ');
    problems.add(`traces ${action} takes ${wanted.join(' and ')}; given: ${given}.`);
  }
  return files;
}
