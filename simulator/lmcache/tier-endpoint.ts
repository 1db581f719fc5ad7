import { createServer, type Server, type Socket } from 'node:net';
import type { RequestFaults } from '../request-faults.js';
import type { CacheTier, ChunkRun } from './cache-tier.js';
import type { ServerLog } from './server-log.js';
import type { TierMetrics } from './tier-metrics.js';
import { lineSplitter, type TierMessage, type TierReply, tierMessageSchema } from './tier-protocol.js';

const TRANSFER_MODULE = 'lmcache.v1.multiprocess.modules.lmcache_driven_transfer';
const STORED = `lmcache_driven_transfer.py:1159:${TRANSFER_MODULE}`;
const RETRIEVED = `lmcache_driven_transfer.py:1350:${TRANSFER_MODULE}`;
const REGISTERED = `lmcache_driven_transfer.py:640:${TRANSFER_MODULE}`;

type Registration = Extract<TierMessage, { op: 'register' }>;

export interface EndpointFate {
  readonly faults: RequestFaults;
  readonly onFatal: (error: unknown) => void;
  /** Of the disk that chunks are read from; null or left out: they lie in memory. */
  readonly readBytesPerSecond?: number | null;
}

/** The engines that are connected, and the sockets they came by. */
export class TierEndpoint {
  readonly engines = new Map<Socket, Registration>();
  readonly #tier: CacheTier;
  readonly #metrics: TierMetrics;
  readonly #log: ServerLog;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  /** Faults of the server, and what to do when one kills it. */
  readonly #fate: EndpointFate;

  constructor(tier: CacheTier, metrics: TierMetrics, log: ServerLog, fate: EndpointFate) {
    this.#fate = fate;
    this.#tier = tier;
    this.#metrics = metrics;
    this.#log = log;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Listens for engines. Rejects when the port is taken. Resolves with the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: host === '*' ? '0.0.0.0' : host, port }, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setEncoding('utf8');
    const feed = lineSplitter((line) => {
      const message = tierMessageSchema.parse(JSON.parse(line));
      if (message.op === 'lookup' && !this.#survives()) return;
      if (this.#fate.faults.isOver('hang-after')) return;
      const reply = this.#handle(socket, message);
      if (reply !== null) socket.write(`${JSON.stringify(reply)}\n`);
    });
    socket.on('data', (data: string) => {
      try {
        feed(data);
      } catch {
        this.#log.warning(REGISTERED, "a peer that does not speak the simulator's protocol was disconnected");
        socket.destroy();
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.engines.delete(socket);
    });
  }

  /** Counts a lookup; false when it was the one the server dies of. */
  #survives(): boolean {
    const { faults, onFatal } = this.#fate;
    faults.count();
    try {
      faults.dieIfDue('the cache server');
      return true;
    } catch (error) {
      onFatal(error);
      return false;
    }
  }

  #handle(socket: Socket, message: TierMessage): TierReply | null {
    if (message.op === 'register') {
      this.engines.set(socket, message);
      this.#log.info(REGISTERED, `Registered KV cache of instance ${message.instance} (model "${message.model}")`);
      const { chunkTokens, sampleRate } = this.#tier.options;
      return { id: message.id, chunkTokens, blockSampleRate: sampleRate };
    }
    const engine = this.engines.get(socket);
    if (engine === undefined) throw new Error(`"${message.op}" came before "register"`);
    const chunkTokens = engine.chunkTokens ?? this.#tier.options.chunkTokens;
    const chunkBytes = engine.kvBytesPerToken * chunkTokens;
    const run = (hashes: readonly string[]): ChunkRun => ({ model: engine.model, hashes, chunkBytes });
    const device = { engine_id: engine.instance, device: 'cuda:0', model_name: engine.model };
    switch (message.op) {
      case 'lookup':
        return { id: message.id, chunks: this.#tier.lookup(run(message.hashes)) };
      case 'load': {
        const { chunks, l2Seconds } = this.#tier.load(run(message.hashes), message.fromChunk, message.toChunk);
        const { readBytesPerSecond } = this.#fate;
        const readSeconds = readBytesPerSecond ? (chunks * chunkBytes) / readBytesPerSecond : 0;
        return { id: message.id, chunks, l2Seconds: l2Seconds + readSeconds };
      }
      case 'loaded': {
        const { chunks, seconds } = message;
        const labels = { worker_id: engine.instance, model_name: engine.model, cache_salt: '' };
        this.#metrics.count('num_chunks_loaded', chunks, labels);
        if (seconds > 0) {
          this.#metrics.observe('l0_l1_load_throughput_GB_per_second', (chunks * chunkBytes) / seconds / 1e9, device);
        }
        this.#log.info(RETRIEVED, `Retrieved ${chunks * chunkTokens} tokens in ${seconds.toFixed(3)} seconds`);
        return null;
      }
      case 'blocks': {
        const labels = { instance_id: engine.instance, model_name: engine.model };
        for (const { lifetime, idle, reuseGaps } of message.ages) {
          this.#metrics.observe('l0_block_lifetime_seconds', lifetime, labels);
          this.#metrics.observe('l0_block_idle_before_evict_seconds', idle, labels);
          for (const gap of reuseGaps) this.#metrics.observe('l0_block_reuse_gap_seconds', gap, labels);
        }
        return null;
      }
      case 'store': {
        const written = this.#tier.store(run(message.hashes), message.fromChunk);
        if (written === 0) return null;
        const offered = message.hashes.length - message.fromChunk;
        const seconds = (message.seconds * written) / offered;
        if (seconds > 0) {
          this.#metrics.observe('l0_l1_store_throughput_GB_per_second', (written * chunkBytes) / seconds / 1e9, device);
        }
        this.#log.info(STORED, `Stored ${written * chunkTokens} tokens in ${seconds.toFixed(3)} seconds`);
        return null;
      }
    }
  }
}
