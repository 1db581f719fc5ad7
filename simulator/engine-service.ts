import { Registry } from 'prom-client';
import type { LmcacheConnector } from './contracts.js';
import { disturbed } from './disturbance.js';
import { BlockAges } from './engine/block-ages.js';
import type { EngineClock } from './engine/engine-clock.js';
import type { StepReport } from './engine/engine-listener.js';
import { EngineLoop } from './engine/engine-loop.js';
import type { FinishReason, Sequence } from './engine/sequence.js';
import type { EngineLog } from './log.js';
import { EngineMetrics } from './metrics.js';
import { Outbox } from './outbox.js';
import { registerProcessMetrics } from './process-metrics.js';
import { RequestFaults } from './request-faults.js';
import type { ServedModel } from './served-model.js';
import type { SimControlState } from './sim-control.js';
import { SleepState } from './sleep-state.js';

/** How often the engine logs its throughput while it works, simulated seconds (as vLLM does in real ones). */
const STATISTICS_INTERVAL_SECONDS = 10;

/** What follows the tokens of a request. */
export interface TokenSink {
  /** It got a token, or has ended; one that was aborted, or failed, got none. */
  onToken(sequence: Sequence): void;
}

export interface EngineServiceOptions {
  readonly served: ServedModel;
  /** The simulator's own options, which may change while it runs. */
  readonly control: SimControlState;
  readonly clock: EngineClock;
  readonly connector: LmcacheConnector | null;
  readonly log: EngineLog;
  /** The engine has died. */
  readonly onFatal: (error: unknown) => void;
}

/** The engine as its API server sees it: takes requests, hands out tokens, keeps count. */
export class EngineService {
  readonly registry = new Registry();
  readonly loop: EngineLoop;
  readonly faults: RequestFaults;
  /** What leaves when the running step's tokens are due. */
  readonly outbox = new Outbox();
  readonly sleep = new SleepState();
  readonly #options: EngineServiceOptions;
  readonly #metrics: EngineMetrics;
  readonly #sinks = new Map<Sequence, { readonly sink: TokenSink; readonly n: number }>();
  #statistics = { since: 0, promptTokens: 0, generatedTokens: 0 };

  constructor(options: EngineServiceOptions) {
    this.#options = options;
    const { served, clock, connector } = options;
    const { profile } = served;
    this.faults = new RequestFaults(() => options.control.fault);
    const salt = options.control.role.length;
    this.loop = new EngineLoop({
      limits: {
        maxNumBatchedTokens: served.options.maxNumBatchedTokens ?? profile.maxNumBatchedTokens,
        maxNumSeqs: served.options.maxNumSeqs ?? profile.maxNumSeqs,
        maxModelLen: served.maxModelLen,
        blockTokens: served.blockTokens,
        blockCount: served.blockCount,
        prefixCaching: served.options.prefixCaching,
        // Who waits for a load knows when it has ended.
        loadsBlock: connector?.loadsBlock ?? false,
      },
      stepTime: disturbed(served.stepTime, () => options.control.fault, salt),
      clock,
      connector,
      listener: {
        onToken: (sequence, at) => this.#onToken(sequence, at),
        onStep: (report) => this.#onStep(report),
        onLookup: (sequence, hitTokens) => this.#logLookup(sequence, hitTokens),
        onLoadFailed: (sequence, lostTokens) => this.#failLoad(sequence, lostTokens),
        onFatal: options.onFatal,
      },
    });
    if (connector?.blockReports) {
      this.loop.scheduler.pool.observe(new BlockAges(() => clock.now(), connector.blockReports));
    }
    registerProcessMetrics(this.registry);
    this.#metrics = new EngineMetrics({
      registry: this.registry,
      modelName: served.name,
      scheduler: this.loop.scheduler,
      arriving: () => this.loop.unfinished - this.loop.scheduler.running.length - this.loop.scheduler.waiting.length,
      cacheConfig: cacheConfigLabels(served),
      sleep: this.sleep,
    });
  }

  /** @param arrival simulated time at which the request reached the server; `n` sequences a prompt. */
  submit(sequences: readonly Sequence[], n: number, arrival: number, sink: TokenSink): void {
    this.faults.count();
    this.loop.hold(this.faults.isOver('hang-after'));
    for (const sequence of sequences) this.#sinks.set(sequence, { sink, n });
    for (let first = 0; first < sequences.length; first += n) {
      this.loop.submit(sequences.slice(first, first + n), arrival);
    }
  }

  /** Faults may have changed: a hanging engine goes on when it no longer has to hang. */
  onControl(): void {
    this.loop.hold(this.faults.isOver('hang-after'));
  }

  /** The client has gone, or the answer is complete before the model's end. */
  end(sequence: Sequence, reason: FinishReason): void {
    if (sequence.finished === null) {
      this.loop.finish(sequence, reason);
      this.#ended(sequence, reason, this.#options.clock.now());
    }
  }

  /**
   * Ends requests from outside: their answers end with finish_reason "abort".
   * @param wanted by their names; all if left out.
   * @returns how many sequences ended, and requests of several sequences beside them.
   */
  abort(wanted: (requestId: string) => boolean = () => true): number {
    const struck = [...this.#sinks].filter(([{ options }]) => wanted(options.requestId ?? ''));
    const parents = new Set<TokenSink>();
    for (const [sequence, { sink, n }] of struck) {
      if (n > 1) parents.add(sink);
      this.#endWithoutToken(sequence, 'abort');
    }
    // No step may follow, with whose tokens these ends would leave.
    this.outbox.sendAll();
    return struck.length + parents.size;
  }

  /**
   * vLLM's modes of a pause: `abort` ends what is there, `wait` lets it come to its end, `keep` freezes it.
   * @returns when nothing runs any more.
   */
  async pause(mode: 'abort' | 'wait' | 'keep', clearCache: boolean): Promise<void> {
    const resting = this.loop.pause(mode === 'keep' ? 'all' : 'new');
    // Paused before, or the next in the queue would take the place of each.
    if (mode === 'abort') this.abort();
    await resting;
    if (!clearCache) return;
    this.loop.scheduler.preemptAll();
    this.loop.scheduler.resetPrefixCache();
  }

  #onToken(sequence: Sequence, at: number): void {
    this.#metrics.onToken(sequence, at);
    const { finished } = sequence;
    this.#sinks.get(sequence)?.sink.onToken(sequence);
    if (finished !== null) this.#ended(sequence, finished, at);
  }

  /** The line of an engine's own LMCache, from which traces are read. The multiprocess connector writes none (recorded). */
  #logLookup(sequence: Sequence, hitTokens: number): void {
    if (this.#options.served.options.connector?.connector !== 'LMCacheConnectorV1') return;
    const own = this.loop.scheduler.localTokens(sequence);
    const wanted = Math.max(0, Math.min(hitTokens, sequence.totalTokens - 1) - own);
    const { requestId = '' } = sequence.options;
    this.#options.log.lmcache(
      'vllm_v1_adapter.py:1473:lmcache.integration.vllm.vllm_v1_adapter',
      `Reqid: ${requestId}, Total tokens ${sequence.totalTokens}, Inference Engine computed tokens: ${own}, LMCache hit tokens: ${hitTokens}, need to load: ${wanted}`,
    );
  }

  /** As kv_load_failure_policy "fail" has it. */
  #failLoad(sequence: Sequence, lostTokens: number): void {
    const { requestId = '' } = sequence.options;
    this.#options.log.engine(
      'ERROR',
      'scheduler.py:2804',
      `Failing 1 request(s) due to KV load failure (failure_policy=fail, ${lostTokens} tokens affected). Request IDs: {'${requestId}'}`,
    );
    this.#endWithoutToken(sequence, 'error');
    this.outbox.sendAll();
  }

  #endWithoutToken(sequence: Sequence, reason: 'abort' | 'error'): void {
    this.loop.finish(sequence, reason);
    this.#sinks.get(sequence)?.sink.onToken(sequence);
    this.#ended(sequence, reason, this.#options.clock.now());
  }

  #ended(sequence: Sequence, reason: FinishReason, at: number): void {
    const entry = this.#sinks.get(sequence);
    if (entry === undefined) return;
    this.#sinks.delete(sequence);
    // A server that is ending takes no more requests: there is nothing to count.
    if (Number.isNaN(sequence.times.arrival)) return;
    this.#metrics.onEnd(sequence, reason, at, entry.n);
  }

  #onStep(report: StepReport): void {
    this.outbox.sendAll();
    this.#metrics.onStep(report);
    this.faults.dieIfDue('the engine');
    this.#statistics.promptTokens += report.promptTokens;
    this.#statistics.generatedTokens += report.generatedTokens;
    const elapsed = report.at - this.#statistics.since;
    if (elapsed >= STATISTICS_INTERVAL_SECONDS) this.#logStatistics(report.at, elapsed);
  }

  #logStatistics(at: number, elapsed: number): void {
    const { scheduler } = this.loop;
    const { counters, pool } = scheduler;
    const share = (part: number, whole: number): string => `${(whole === 0 ? 0 : (part / whole) * 100).toFixed(1)}%`;
    // After a pause the rate would be of the pause.
    const seconds = Math.min(elapsed, 2 * STATISTICS_INTERVAL_SECONDS);
    const figures = [
      `Avg prompt throughput: ${(this.#statistics.promptTokens / seconds).toFixed(1)} tokens/s`,
      `Avg generation throughput: ${(this.#statistics.generatedTokens / seconds).toFixed(1)} tokens/s`,
      `Running: ${scheduler.running.length} reqs`,
      `Waiting: ${scheduler.waiting.length} reqs`,
      `GPU KV cache usage: ${share(pool.usedBlocks, pool.usableBlocks)}`,
      `Prefix cache hit rate: ${share(counters.prefixHits, counters.prefixQueries)}`,
    ];
    if (this.#options.connector !== null) {
      figures.push(`External prefix cache hit rate: ${share(counters.externalHits, counters.externalQueries)}`);
    }
    this.#options.log.api('INFO', 'loggers.py:310', `Engine 000: ${figures.join(', ')} (simulated seconds)`);
    this.#statistics = { since: at, promptTokens: 0, generatedTokens: 0 };
  }
}

function cacheConfigLabels(served: ServedModel): Readonly<Record<string, string>> {
  const { blockTokens, blockCount, maxModelLen, options } = served;
  const tokens = blockCount * blockTokens;
  return {
    _block_size_resolved: 'True',
    block_size: String(blockTokens),
    cache_dtype: 'auto',
    calculate_kv_scales: 'False',
    enable_prefix_caching: options.prefixCaching ? 'True' : 'False',
    gpu_memory_utilization: String(options.gpuMemoryUtilization),
    is_attention_free: 'False',
    kv_cache_dtype_skip_layers: '[]',
    kv_cache_max_concurrency: String(tokens / maxModelLen),
    kv_cache_memory_bytes: 'None',
    kv_cache_size_tokens: String(tokens),
    kv_offloading_backend: 'native',
    kv_offloading_size: 'None',
    kv_sharing_fast_prefill: 'False',
    mamba_block_size: 'None',
    mamba_cache_dtype: 'auto',
    mamba_cache_mode: 'none',
    mamba_page_size_padded: 'None',
    mamba_ssm_cache_dtype: 'auto',
    num_cpu_blocks: 'None',
    num_gpu_blocks: String(blockCount),
    num_gpu_blocks_override: options.gpuBlocksOverride === null ? 'None' : String(options.gpuBlocksOverride),
    prefix_caching_hash_algo: 'sha256',
    prefix_match_unit: 'None',
    skip_page_size_padded: 'None',
    sliding_window: 'None',
    user_specified_block_size: 'False',
    user_specified_mamba_block_size: 'False',
  };
}
