import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { chunksInGb } from '../../experiments/cache-simulation/cache-sizes.js';
import { type CacheSimulation, simulateCache } from '../../experiments/cache-simulation/simulate.js';
import { cacheSimulationCsv, hitRateRows, traceFacts } from '../../report/cache-simulation/cache-simulation-tables.js';
import { formatNumber } from '../../report/numbers.js';
import { writeReport } from '../../report/pages/write-report.js';
import { textTable } from '../../report/text-table.js';
import {
  type CacheSimulationRecord,
  cacheSimulationSchema,
  cacheSimulationSchemaVersion,
} from '../../results-schema/cache-simulation.js';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { writeWhole } from '../../results-schema/whole-file.js';
import { isColumnarFile } from '../../workloads/traces/columnar-reader.js';
import { convertTrace } from '../../workloads/traces/convert-trace.js';
import { openTrace } from '../../workloads/traces/open-trace.js';
import { type ServerLogFacts, ServerLogTrace } from '../../workloads/traces/server-log.js';
import { TraceFileError, type TraceNotes } from '../../workloads/traces/trace.js';
import { InterruptedError, listenForInterruption } from '../interruption.js';
import { UsageError } from '../usage-error.js';
import { BenchFlags } from './bench-flags.js';
import { type CacheSimulationSettings, readCacheSimulationFlags } from './cache-simulation-flags.js';
import { isFileError } from './file-error.js';
import { checkOutputFile, checkOutputFolder } from './output-path.js';
import { ProgressLine } from './progress-line.js';

/** @returns the exit code. @throws UsageError */
export async function runCacheSimulation(parsed: Readonly<Record<string, unknown>>): Promise<number> {
  const settings = readCacheSimulationFlags(new BenchFlags(parsed));
  if (settings.output !== null) checkOutputFile('--output', `${settings.output}.cache-simulation.json`);
  checkOutputFolder('--scratch', settings.scratch);
  const progress = new ProgressLine(process.stderr);
  const interruption = listenForInterruption((_, first) => {
    progress.clear();
    if (first) process.stderr.write('Interrupted: removing the files in between.\n');
  });
  try {
    const record = await simulate(settings, progress, interruption.signal);
    progress.clear();
    process.stdout.write(settings.json ? `${JSON.stringify(record, null, 2)}\n` : describe(record));
    for (const file of await writeFiles(record, settings.output)) process.stderr.write(`${file}\n`);
    return 0;
  } catch (error) {
    progress.clear();
    if (error instanceof InterruptedError) return interruptExitCodes[error.signalName];
    // A trace that is broken, sizes that do not fit it, a directory that is not there.
    if (error instanceof TraceFileError || error instanceof RangeError || isFileError(error)) {
      throw new UsageError(error.message);
    }
    throw error;
  } finally {
    interruption.dispose();
  }
}

async function simulate(
  settings: CacheSimulationSettings,
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<CacheSimulationRecord> {
  const simulating = {
    ...settings,
    signal,
    onProgress: (policy: string, requests: number) => progress.update(`${policy}: ${formatNumber(requests)} requests`),
  };
  if (await isColumnarFile(settings.trace)) {
    const result = await simulateCache(settings.trace, simulating);
    return recordOf(settings, { result, format: 'columnar', notes: new Map(), serverLog: null, convertSeconds: 0 });
  }
  const trace = await openTrace(settings.trace, settings.reading);
  const directory = await mkdtemp(join(settings.scratch, 'lmcache-ci-trace-'));
  try {
    const columnar = join(directory, 'trace.lctrace');
    const startedAt = performance.now();
    const { format } = trace;
    if (trace instanceof ServerLogTrace && (await countFacts(trace, signal)).namedLookups === 0) {
      return recordOf(settings, {
        result: null,
        format,
        notes: trace.notes,
        serverLog: trace.facts,
        convertSeconds: 0,
      });
    }
    const { notes } = await convertTrace(trace, columnar, {
      signal,
      onProgress: (requests) => progress.update(`reading: ${formatNumber(requests)} requests`),
    });
    const convertSeconds = (performance.now() - startedAt) / 1000;
    const result = await simulateCache(columnar, simulating);
    const serverLog = trace instanceof ServerLogTrace ? trace.facts : null;
    return recordOf(settings, { result, format, notes, serverLog, convertSeconds });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function countFacts(trace: ServerLogTrace, signal: AbortSignal): Promise<ServerLogFacts> {
  for await (const _ of trace.batches()) signal.throwIfAborted();
  return trace.facts;
}

function recordOf(
  settings: CacheSimulationSettings,
  found: {
    readonly result: CacheSimulation | null;
    readonly format: string;
    readonly notes: TraceNotes;
    readonly serverLog: ServerLogFacts | null;
    readonly convertSeconds: number;
  },
): CacheSimulationRecord {
  const { result } = found;
  const { chunkTokens, kvBytesPerToken, storeAnswers, maxContextTokens, conversationAware } = settings;
  const facts = result?.trace;
  return cacheSimulationSchema.parse({
    schemaVersion: cacheSimulationSchemaVersion,
    simulated: true,
    trace: {
      path: settings.trace,
      format: found.format,
      requests: facts?.requests ?? 0,
      skippedRequests: facts?.skippedRequests ?? 0,
      conversations: facts?.conversations ?? 0,
      lookups: facts?.lookups ?? 0,
      accesses: facts?.accesses ?? 0,
      distinctChunks: facts?.distinctChunks ?? 0,
      reusedLookups: facts?.reusedLookups ?? 0,
      promptTokens: facts?.promptTokens ?? 0,
      spanSeconds: facts?.spanSeconds ?? 0,
      notes: [...found.notes].map(([note, count]) => ({ note, count })),
    },
    options: { chunkTokens, storeAnswers, maxContextTokens, kvBytesPerToken, ...conversationAware },
    curves: (result?.curves ?? []).map(({ policy, points, seconds, accessesPerSecond }) => ({
      policy,
      points: points.map((point) => ({ ...point, sizeGb: chunksInGb(point.sizeChunks, chunkTokens, kvBytesPerToken) })),
      seconds,
      accessesPerSecond,
    })),
    serverLog: found.serverLog,
    convertSeconds: found.convertSeconds,
  });
}

async function writeFiles(record: CacheSimulationRecord, base: string | null): Promise<readonly string[]> {
  if (base === null) return [];
  const json = await writeWhole(`${base}.cache-simulation.json`, `${JSON.stringify(record, null, 2)}\n`);
  if (record.curves.length === 0) return [json];
  const { cacheSimulationReport } = await import('../../report/cache-simulation/cache-simulation-report.js');
  return [
    json,
    await writeWhole(`${base}.cache-simulation.csv`, cacheSimulationCsv(record)),
    ...(await writeReport(cacheSimulationReport(record), base, ['pdf', 'svg', 'html'])),
  ];
}

function describe(record: CacheSimulationRecord): string {
  const lines = ['SIMULATED offline from a trace: no server was measured.', ''];
  if (record.serverLog !== null) lines.push(...describeLog(record.serverLog), '');
  if (record.curves.length === 0) {
    lines.push(
      'No curve: the log does not name its requests. Send X-Request-Id: conv_<conversation>_<turn> (sweeps do), and let the engine log "Reqid: ..., Total tokens ...".',
    );
    return `${lines.join('\n')}\n`;
  }
  const facts = traceFacts(record).map(({ label, value }) => [label, value]);
  const notes = record.trace.notes.map(({ note, count }) => ['Note', `${note}: ${formatNumber(count)}`]);
  const { columns, rows } = hitRateRows(record);
  lines.push(textTable([...facts, ...notes], []), '');
  lines.push(textTable([columns, ...rows], [...columns.keys()]), '');
  if (record.trace.reusedLookups === 0) {
    lines.push(
      'Nothing is ever used again: where a trace names neither conversations nor blocks, no reuse can be known.',
    );
  }
  const times = record.curves.map(
    ({ policy, seconds, accessesPerSecond }) =>
      `${policy} ${seconds.toFixed(2)} s (${formatNumber(Math.round(accessesPerSecond))} accesses/s)`,
  );
  lines.push(`Read in ${record.convertSeconds.toFixed(2)} s; ${times.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}

function describeLog(facts: ServerLogFacts): readonly string[] {
  const hitRate = facts.lookupTokens === 0 ? '-' : `${((facts.hitTokens / facts.lookupTokens) * 100).toFixed(2)} %`;
  return [
    'What the server log says was so:',
    textTable(
      [
        [
          'lookups',
          `${formatNumber(facts.lookups)}, of which ${formatNumber(facts.namedLookups)} name their conversation`,
        ],
        ['tokens looked up', formatNumber(facts.lookupTokens)],
        ['tokens hit', `${formatNumber(facts.hitTokens)} (${hitRate})`],
        ['tokens stored', formatNumber(facts.storedTokens)],
        ['tokens retrieved', formatNumber(facts.retrievedTokens)],
        ['chunks found', `${formatNumber(facts.l1Chunks)} in L1, ${formatNumber(facts.l2Chunks)} in L2`],
        ['evictions triggered', formatNumber(facts.evictions)],
      ],
      [],
    ),
  ];
}
