import { parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { type ExperimentNotes, experimentNotesSchema } from '../../results-schema/experiment-notes.js';

/** A test function's CSV: three experiments of growing context, ten requests each; one request failed. */
export function sampleExperimentCsv(engines = 2): string {
  const lines = ['expr_id,timestamp,engine_id,request_id,TTFT,throughput,context_len,query_len,gpu_memory'];
  for (let experiment = 0; experiment < 3; experiment++) {
    for (let request = 0; request < 10; request++) {
      for (let engine = 0; engine < engines; engine++) {
        const failed = experiment === 1 && engine === 1 && request === 4;
        const wobble = Math.sin(request * 2.3 + engine) * 0.02;
        const hit = engine === 0 && request > 0;
        const ttft = hit ? 0.09 + 0.05 * experiment + wobble : 0.9 * (experiment + 1) + engine * 0.04 + wobble;
        const throughput = 60 - experiment * 5 + wobble * 60 - engine;
        lines.push(
          [
            experiment,
            (request * 8).toFixed(1),
            engine,
            request,
            failed ? -1 : ttft.toFixed(4),
            failed ? -1 : throughput.toFixed(3),
            8192 * (experiment + 1),
            16,
            `"{""gpu-0"": ${65_000 + experiment * 900}, ""gpu-1"": ${64_000 + experiment * 40}}"`,
          ].join(','),
        );
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

export function sampleExperiments(engines = 2) {
  return parseExperimentCsv(sampleExperimentCsv(engines), 'sample.csv');
}

export function sampleNotes(): ExperimentNotes {
  return experimentNotesSchema.parse({
    schemaVersion: 1,
    testFunction: 'test_lmcache_local_cpu',
    model: 'mistralai/Mistral-7B-Instruct-v0.2',
    simulated: { profile: 'h200', speed: 10 },
    experiments: [0, 1, 2].map((id) => ({
      id,
      title: `Context of ${8192 * (id + 1)} tokens, 10 requests, one every 8 s`,
      engines: [
        { id: 0, name: 'vLLM with LMCache, local CPU' },
        { id: 1, name: 'vLLM' },
      ],
      failure: null,
    })),
  });
}
