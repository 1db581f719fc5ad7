import { formatFixed, formatNumber } from '../../report/numbers.js';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { crowdedTokens, steadyPart } from '../../simulator/calibration/read-recording.js';
import { prepareLongDocQa, runLongDocQa } from '../../workloads/long-doc-qa.js';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import { EngineWatch, type KvPool } from '../../workloads/recording/engine-watch.js';
import { nameOfArrivals, recordArrivals } from '../../workloads/recording/record-arrivals.js';
import { recordDecode } from '../../workloads/recording/record-decode.js';
import { recordSingles } from '../../workloads/recording/record-singles.js';
import {
  arrivalLine,
  decodeLine,
  longdocLine,
  RECORDING_HEADERS,
  singleLine,
} from '../../workloads/recording/recording-csv.js';
import type { RecordingSession } from '../../workloads/recording/recording-session.js';
import { WordPrompts } from '../../workloads/recording/word-prompts.js';
import { describeOutcome, type RequestRecord } from '../../workloads/request.js';
import {
  listModels,
  type ServedModel,
  ServerAnswerError,
  ServerUnreachableError,
  serverVersion,
} from '../../workloads/server-api.js';
import type { SimulatedBy, Target } from '../../workloads/target.js';
import { listenForInterruption } from '../interruption.js';
import { packageVersion } from '../package-version.js';
import { NoVerdictError, UsageError } from '../usage-error.js';
import { checkSameRecording, describeRecordingFolder, openRecordingFolder, RowFile } from './record-files.js';
import { RecordProgress } from './record-progress.js';
import type { RecordedPart, RecordSettings } from './simulate-record-flags.js';
import { fileOf, filesOf, tokensOf } from './simulate-record-plan.js';

/**
 * Records a server, part by part.
 * @returns 0 all recorded, 1 requests failed, or the signal's code
 * @throws UsageError; NoVerdictError for a server that does not answer, or not as it has to
 */
export async function runRecording(settings: RecordSettings): Promise<number> {
  const progress = new RecordProgress(process.stderr);
  const interruption = listenForInterruption((_, first) => {
    progress.clear();
    if (first) process.stderr.write('Interrupted: what is complete stays recorded.\n');
  });
  try {
    return await record(settings, progress, interruption.signal);
  } catch (error) {
    progress.clear();
    // Whatever was waited for then ends with an error of its own.
    const interruptedBy = interruption.interruptedBy();
    if (interruptedBy !== null) return interruptExitCodes[interruptedBy];
    if (error instanceof ServerUnreachableError || error instanceof ServerAnswerError) {
      throw new NoVerdictError(error.message);
    }
    throw error;
  } finally {
    interruption.dispose();
  }
}

async function record(settings: RecordSettings, progress: RecordProgress, signal: AbortSignal): Promise<number> {
  const apiKey = process.env['OPENAI_API_KEY'];
  const server = { baseUrl: settings.url, model: '', ...(apiKey ? { apiKey } : {}) };
  const model = chooseModel(settings, await listModels(server, signal));
  const target: Target = { ...server, model: model.id };
  openRecordingFolder(settings.out, filesOf(settings));
  const client = await MeasuringClient.connect(target, signal);
  checkSameRecording(settings.out, { model: model.id, simulated: client.simulated });
  const date = new Date().toISOString();
  const begun: string[] = [];
  const failures: string[] = [];
  try {
    sayWhat(settings, target, client.simulated);
    const engineVersion = await serverVersion(target, signal);
    const prompts = await WordPrompts.open(target, settings.seed, signal);
    const watch = new EngineWatch(target.baseUrl, signal);
    const pool = await watch.kvPool();
    sayWhatFits(settings, pool);
    const session: RecordingSession = {
      client,
      engine: settings.engine,
      prompts,
      watch,
      pauseSeconds: settings.pauseSeconds,
      signal,
      onProgress: ({ phase, done, total, failed }) =>
        progress.update(`${phase} ${done}/${total}${failed > 0 ? `, ${failed} failed` : ''}`),
    };
    const describe = (interrupted: boolean): void =>
      describeRecordingFolder(settings.out, {
        model: model.id,
        engine: settings.engine,
        numGpuBlocks: pool?.blocks ?? null,
        simulated: client.simulated,
        date,
        facts: {
          url: settings.url,
          versions: { server: engineVersion, 'lmcache-ci': packageVersion() },
          maxModelLen: model.maxModelLen,
          distinctWords: prompts.distinctWords,
          files: begun,
          interrupted,
          options: settings,
        },
      });
    const open = (name: string, header: string): RowFile =>
      new RowFile(settings.out, name, header, () => {
        begun.push(name);
        // Ahead of the rows: whatever happens, nobody shall take them for another model's or for a real engine's.
        describe(true);
      });
    for (const part of settings.parts) await recordPart(part, session, settings, progress, { open, failures });
    if (begun.length > 0) describe(false);
  } finally {
    client.close();
  }
  return conclude(settings, client.simulated, failures);
}

function chooseModel(settings: RecordSettings, models: readonly ServedModel[]): ServedModel {
  const names = models.map(({ id }) => `"${id}"`).join(', ');
  const model = settings.model === undefined ? models[0] : models.find(({ id }) => id === settings.model);
  if (model === undefined) {
    if (settings.model === undefined) throw new ServerAnswerError(`${settings.url} serves no model.`, 200);
    throw new UsageError(
      `--model "${settings.model}" is not served; ${settings.url} serves ${names}.\nNothing was started.`,
    );
  }
  const limit = model.maxModelLen ?? Number.POSITIVE_INFINITY;
  const tooLong = tokensOf(settings).filter(({ tokens }) => tokens > limit);
  if (tooLong.length > 0) {
    const lines = tooLong.map(({ flag, value, tokens }) => `${flag} "${value}" makes ${tokens} tokens`);
    throw new UsageError(
      `${lines.join('\n')}\n"${model.id}" as it is served takes at most ${limit}, prompt and answer together.\nNothing was started.`,
    );
  }
  return model;
}

function sayWhat({ engine, out }: RecordSettings, target: Target, simulated: SimulatedBy | null): void {
  process.stdout.write(
    `${bannerOf(simulated)}Recording "${target.model}" at ${target.baseUrl} as ${engine} into "${out}"\n`,
  );
}

/** Queries show what LMCache brings only where the GPU has lost the documents. */
function sayWhatFits({ parts, documents, documentLength }: RecordSettings, pool: KvPool | null): void {
  const tokens = documents * documentLength;
  if (pool === null || !parts.includes('longdoc') || tokens > pool.tokens) return;
  process.stdout.write(
    `longdoc: ${formatNumber(tokens)} tokens of documents fit into the GPU's KV of ${formatNumber(pool.tokens)}: queries find them there, with LMCache or without. Take more --documents.\n`,
  );
}

function bannerOf(simulated: SimulatedBy | null): string {
  if (simulated === null) return '';
  return `SIMULATED (profile "${simulated.profile}", speed x${simulated.speed}): this is no recording of a real engine\n`;
}

/** Where a part goes. */
interface Output {
  readonly open: (name: string, header: string) => RowFile;
  readonly failures: string[];
}

async function recordPart(
  part: RecordedPart,
  session: RecordingSession,
  settings: RecordSettings,
  progress: RecordProgress,
  output: Output,
): Promise<void> {
  const files: RowFile[] = [];
  const open: Output['open'] = (name, header) => {
    const file = output.open(name, header);
    files.push(file);
    return file;
  };
  const startedAt = performance.now();
  try {
    await RECORDERS[part](session, settings, { ...output, open });
  } finally {
    progress.clear();
    for (const file of files) file.close();
    const seconds = formatFixed((performance.now() - startedAt) / 1000, 1);
    for (const { name, rows } of files.filter((file) => file.rows > 0)) {
      process.stdout.write(`${part}: ${formatNumber(rows)} rows in ${name} after ${seconds} s\n`);
    }
  }
}

type Recorder = (session: RecordingSession, settings: RecordSettings, output: Output) => Promise<void>;

const RECORDERS: Readonly<Record<RecordedPart, Recorder>> = {
  single: recordSinglePart('single'),
  ids: recordSinglePart('ids'),
  async decode(session, settings, { open, failures }) {
    const file = open(fileOf('decode', settings), RECORDING_HEADERS.decode);
    const problems = await recordDecode(session, {
      batches: settings.batches,
      promptTokens: settings.decodePromptTokens,
      outputTokens: settings.decodeOutputTokens,
      onBatch: (batch, rows) => {
        if (steadyPart(rows.map(({ tokenTimesMs }) => tokenTimesMs)).gap > 0) file.add(rows.map(decodeLine));
        else failures.push(crowdedTokens(batch));
      },
    });
    failures.push(...problems);
  },
  async arrivals(session, settings, { open, failures }) {
    for (const [index, arrivals] of settings.arrivals.entries()) {
      const records = await recordArrivals(session, {
        arrivals,
        promptTokens: settings.arrivalPromptTokens,
        outputTokens: settings.arrivalOutputTokens,
        seed: (settings.seed + index) % 2 ** 32,
      });
      const file = open(fileOf('arrivals', settings, nameOfArrivals(arrivals)), RECORDING_HEADERS.arrivals);
      addRound(file, records, arrivalLine, failures);
      session.signal.throwIfAborted();
    }
  },
  async longdoc(session, settings, { open, failures }) {
    const { documents, documentLength, outputLen, maxInflightRequests, repeatCount } = settings;
    // In the order of the documents: a row's number tells its document then.
    const plan = prepareLongDocQa({ numDocuments: documents, documentLength, repeatCount, repeatMode: 'tile' });
    const { warmup, query } = await runLongDocQa(session.client.target, {
      plan,
      outputLen,
      maxInflightRequests,
      completions: true,
      signal: session.signal,
      onProgress: (told) => session.onProgress({ ...told, phase: `long documents, ${told.phase}` }),
    });
    addRound(open(fileOf('longdoc', settings, 'warmup'), RECORDING_HEADERS.longdoc), warmup, longdocLine, failures);
    addRound(open(fileOf('longdoc', settings, 'query'), RECORDING_HEADERS.longdoc), query, longdocLine, failures);
    session.signal.throwIfAborted();
  },
};

function recordSinglePart(part: 'single' | 'ids'): Recorder {
  return async (session, settings, { open, failures }) => {
    const file = open(fileOf(part, settings), RECORDING_HEADERS.single);
    await recordSingles(session, {
      lengths: settings.lengths,
      repetitions: settings.repetitions,
      form: part === 'ids' ? 'ids' : 'text',
      onRow: (row) => {
        file.add([singleLine(row)]);
        if (row.error !== '') failures.push(`${row.length} tokens, ${row.mode}: ${row.error}`);
      },
    });
  };
}

/** A round that was interrupted is none: what was given up held up the rest. */
function addRound(
  file: RowFile,
  records: readonly RequestRecord[],
  lineOf: (record: RequestRecord) => string,
  failures: string[],
): void {
  if (records.some(({ outcome }) => outcome.state === 'failed' && outcome.reason === 'aborted')) return;
  file.add(records.map(lineOf));
  failures.push(...records.flatMap(({ outcome }) => (outcome.state === 'failed' ? [describeOutcome(outcome)] : [])));
}

function conclude(settings: RecordSettings, simulated: SimulatedBy | null, failures: readonly string[]): number {
  const [first] = failures;
  if (first !== undefined) {
    process.stderr.write(`${formatNumber(failures.length)} failed, and are left out; the first: ${first}\n`);
  }
  process.stdout.write(`${bannerOf(simulated)}Next: lmcache-ci simulate calibrate ${settings.out} --out mine.json\n`);
  return failures.length > 0 ? 1 : 0;
}
