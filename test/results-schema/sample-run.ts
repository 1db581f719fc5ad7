import { type RunRecord, runRecordSchema } from '../../results-schema/run-record.js';

/** A valid, simulated, passed run; tests change what they are about. */
export function sampleRun(changes: Partial<RunRecord> = {}): RunRecord {
  return runRecordSchema.parse({
    schemaVersion: 1,
    buildId: 'local_20251122_101500',
    command: ['mp-test'],
    engine: 'sim',
    simulated: { profile: 'h200', speed: 10 },
    runtime: 'process',
    model: 'Qwen/Qwen3-14B',
    image: null,
    settings: [{ name: 'VLLM_PORT', value: 8000, origin: 'default', source: null, requested: null }],
    versions: { lmcacheCi: '0.1.0', node: '20.20.2', docker: null, vllm: null, lmcache: null },
    host: {
      hostname: 'runner',
      platform: 'linux x64',
      kernel: '6.1.0',
      cpuModel: 'a CPU',
      cpuCount: 2,
      memoryBytes: 8_000_000_000,
    },
    gpus: [],
    startedAt: '2025-11-22T10:15:00.000Z',
    endedAt: '2025-11-22T10:16:00.000Z',
    steps: [
      {
        name: 'wait-for-vllm',
        title: 'Wait for vLLM',
        kind: 'setup',
        startedAt: '2025-11-22T10:15:00.500Z',
        durationSeconds: 2.25,
        result: { outcome: 'passed', verdicts: [] },
      },
      {
        name: 'long-doc-qa',
        title: 'Long document QA',
        kind: 'test',
        startedAt: '2025-11-22T10:15:03.000Z',
        durationSeconds: 48.1,
        result: {
          outcome: 'passed',
          verdicts: [
            {
              name: 'query_ttft_per_prompt',
              title: 'TTFT with LMCache',
              unit: 's',
              measured: 0.1483,
              comparison: '<=',
              threshold: 0.22,
              marginPercent: 32.6,
              outcome: 'passed',
            },
          ],
        },
      },
    ],
    verdict: { outcome: 'passed', exitCode: 0, message: '2 steps passed' },
    timings: {
      wallSeconds: 60,
      ownSeconds: 0.7,
      buildSeconds: 0,
      engineStartSeconds: 2.1,
      workloadSeconds: 47,
      childSeconds: 10,
      stopGraceSeconds: 0.2,
    },
    files: [{ path: 'run.json', bytes: 100 }],
    ...changes,
  });
}
