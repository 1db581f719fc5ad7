import { afterEach, beforeEach } from 'vitest';
import { MeasuringClient } from '../../workloads/measuring-client.js';
import type { RequestRecord } from '../../workloads/request.js';
import type { RoundOptions, RoundResult } from '../../workloads/request-round.js';
import { type RawExchange, RawHttpServer, type RawServerOptions } from '../fixtures/raw-http-server.js';

export const USAGE = { prompt_tokens: 7, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 3 } };
export const role = { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] };
export const token = (content: string, finish: string | null = null) => ({
  choices: [{ index: 0, delta: { content }, finish_reason: finish }],
});

/** Two tokens, usage, `[DONE]`. */
export async function goodAnswer(exchange: RawExchange): Promise<void> {
  await exchange.startStream();
  await exchange.event(role);
  await exchange.event(token('Hé'));
  await exchange.event(token('llo', 'length'));
  await exchange.event({ choices: [], usage: USAGE });
  await exchange.event('[DONE]');
  await exchange.endStream();
}

/** A server that does what a test says and the measuring client connected to it; both end with the test. */
export class MeasuringRig {
  server: RawHttpServer | null = null;
  client: MeasuringClient | null = null;
  controller = new AbortController();

  constructor() {
    beforeEach(() => {
      this.controller = new AbortController();
    });
    afterEach(async () => {
      this.client?.close();
      await this.server?.close();
      this.client = null;
      this.server = null;
    });
  }

  async connect(answer: (exchange: RawExchange) => unknown, options?: RawServerOptions): Promise<RawHttpServer> {
    const server = await RawHttpServer.start(answer, options);
    this.server = server;
    this.client = await MeasuringClient.connect({ baseUrl: server.baseUrl, model: 'm' }, this.controller.signal);
    return server;
  }

  send(count: number, options: Partial<RoundOptions> = {}, arrivals: readonly number[] = []): Promise<RoundResult> {
    const { client, controller } = this;
    if (client === null) {
      throw new Error('not connected');
    }
    const requests = Array.from({ length: count }, (_, index) =>
      client.prepare('/v1/chat/completions', { index }, { expectedTokens: 2, intendedStart: arrivals[index] ?? 0 }),
    );
    return client.run(requests, {
      maxInFlight: null,
      requestTimeoutSeconds: 10,
      signal: controller.signal,
      ...options,
    });
  }

  async sendOne(options: Partial<RoundOptions> = {}): Promise<RequestRecord> {
    const [record] = (await this.send(1, options)).records;
    if (record === undefined) {
      throw new Error('no record');
    }
    return record;
  }
}
