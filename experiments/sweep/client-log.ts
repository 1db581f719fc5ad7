import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { SweepMeasurement } from '../../results-schema/sweep-summary.js';
import { describeOutcome } from '../../workloads/request.js';
import type { PlannedExperiment } from './grid.js';
import { e2elMs, ttftMs } from './measurement.js';
import type { ReplayedRequest } from './replay.js';

/** `client_*.log`: what the client did, a line a request, so that a long experiment can be followed. */
export class ClientLog {
  readonly #stream: WriteStream;
  #problem: Error | null = null;

  /** Replaces an earlier attempt's log. */
  constructor(file: string) {
    this.#stream = createWriteStream(file, { flags: 'w', mode: 0o644 });
    // A full disk must not end the sweep: it is told at the end.
    this.#stream.on('error', (error) => {
      this.#problem = error;
    });
  }

  start(experiment: PlannedExperiment, notes: ReadonlyMap<string, number>): void {
    const { configuration, name } = experiment;
    this.#line(`experiment ${name}`);
    this.#line(`configuration ${JSON.stringify(configuration)}`);
    for (const [sentence, count] of notes) this.#line(`data set: ${count} ${sentence}`);
  }

  request(request: ReplayedRequest): void {
    const { planned, record, sentSeconds } = request;
    const facts = [
      `conversation=${planned.conversation}`,
      `turn=${planned.turn + 1}`,
      `due=${planned.dueSeconds.toFixed(3)}s`,
      `sent=${sentSeconds.toFixed(3)}s`,
      ...(record.outcome.state === 'ok' ? answerFacts(request) : [`failed="${describeOutcome(record.outcome)}"`]),
    ];
    this.#line(facts.join(' '));
  }

  end(measurement: SweepMeasurement | null, message: string): void {
    this.#line(message);
    if (measurement !== null) this.#line(`result ${JSON.stringify(measurement)}`);
  }

  /** @returns what went wrong with the file, or null. Never rejects. */
  async close(): Promise<string | null> {
    this.#stream.end();
    await finished(this.#stream).catch((error: unknown) => {
      this.#problem ??= error instanceof Error ? error : new Error(String(error));
    });
    return this.#problem?.message ?? null;
  }

  #line(text: string): void {
    if (this.#problem === null) this.#stream.write(`${new Date().toISOString()} ${text}\n`);
  }
}

function answerFacts(request: ReplayedRequest): string[] {
  const { record } = request;
  const milliseconds = (value: number | null) => (value === null ? 'unknown' : `${value.toFixed(1)}ms`);
  return [
    `prompt=${record.promptTokens ?? 'unknown'}`,
    `cached=${record.cachedTokens ?? 'unknown'}`,
    `output=${record.completionTokens ?? record.tokenTimes.length}`,
    `ttft=${milliseconds(ttftMs(request))}`,
    `e2el=${milliseconds(e2elMs(request))}`,
  ];
}
