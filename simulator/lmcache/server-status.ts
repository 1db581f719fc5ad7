import type { FlagValue } from '../argparse.js';
import type { CacheTier } from './cache-tier.js';
import type { CacheServerOptions } from './server-arguments.js';
import type { TierEndpoint } from './tier-endpoint.js';

const GIB = 1024 ** 3;
const BLOCK_TOKENS = 16;
/** Of the recorded engine: layers times blocks of tokens, heads and fused keys and values. */
export const ENGINE_KV_FORMAT = 'NL_X_NB_BS_NH_CS';

/** The body of GET /status, in the fields of LMCache 0.5.3. */
export function statusOf(tier: CacheTier, endpoint: TierEndpoint): Readonly<Record<string, unknown>> {
  const { options } = tier;
  const { l2 } = options;
  const used = tier.l1UsedBytes;
  const controller = { is_healthy: true, thread_alive: true };
  const adapterCounts = { num_l2_adapters: l2.length, num_active_adapters: l2.length, num_draining_adapters: 0 };
  const engines = [...endpoint.engines.values()];
  return {
    is_healthy: true,
    engine_type: 'MPCacheServer',
    chunk_size: options.chunkTokens,
    hash_algorithm: 'blake3',
    active_sessions: 0,
    storage_manager: {
      is_healthy: true,
      l1_manager: {
        is_healthy: true,
        total_object_count: tier.l1ChunkCount,
        write_locked_count: 0,
        read_locked_count: 0,
        temporary_count: 0,
        memory_used_bytes: used,
        memory_total_bytes: options.l1Bytes,
        memory_usage_ratio: used / options.l1Bytes,
        write_ttl_seconds: 600,
        read_ttl_seconds: 300,
      },
      store_controller: {
        ...controller,
        pending_keys_count: 0,
        in_flight_task_count: tier.pendingL2Stores,
        ...adapterCounts,
      },
      prefetch_controller: {
        ...controller,
        max_in_flight: options.prefetchMaxInFlight,
        submission_queue_size: 0,
        pending_queue_size: 0,
        in_flight_request_count: tier.activePrefetches,
        lookup_phase_count: 0,
        load_phase_count: tier.activePrefetches,
        completed_results_count: 0,
        ...adapterCounts,
      },
      l1_eviction_controller: {
        ...controller,
        eviction_policy: options.evictionPolicy,
        trigger_watermark: options.watermark,
        eviction_ratio: options.evictionRatio,
      },
      l2_eviction_controller: { ...controller, adapters: [] },
      l2_adapters: l2.map((adapter) => ({
        is_healthy: true,
        type: adapter.className,
        stored_object_count: adapter.stored.size,
        locked_key_count: 0,
        current_size_bytes: adapter.usedBytes,
        max_capacity_bytes: Number.isFinite(adapter.capacityBytes) ? adapter.capacityBytes : null,
      })),
      num_l2_adapters: l2.length,
    },
    active_prefetch_jobs: tier.activePrefetches,
    active_p2p_lookup_jobs: 0,
    p2p_enabled: false,
    p2p_state: 'unregistered',
    p2p_peer_count: 0,
    p2p_peers: [],
    worker_liveness: {
      enabled: true,
      reap_timeout_seconds: 120,
      registration_grace_seconds: 3600,
      tracked_instances: engines.length,
    },
    registered_gpu_ids: engines.map((engine) => Number(engine.instance)),
    cache_context_meta: Object.fromEntries(
      engines.map((engine) => [
        engine.instance,
        {
          model_name: engine.model,
          world_size: 1,
          kv_cache_layout: {
            num_layers: engine.layers,
            num_blocks: Math.floor(engine.kvPoolTokens / BLOCK_TOKENS),
            cache_size_per_token: engine.kvBytesPerToken,
            kernel_groups: [kernelGroupOf(engine.layers)],
          },
        },
      ]),
    ),
    registered_non_cuda_instance_ids: [],
    non_cuda_context_meta: {},
  };
}

/** Of a dense model without sliding windows: one group of all layers, in the layout of FLASH_ATTN. */
function kernelGroupOf(layers: number): unknown {
  return {
    kernel_group_idx: 0,
    engine_group_idx: 0,
    object_group_idx: 0,
    num_layers: layers,
    layer_indices: Array.from({ length: layers }, (_, index) => index),
    tokens_per_block: BLOCK_TOKENS,
    slots_per_block: BLOCK_TOKENS,
    dtype: 'torch.bfloat16',
    engine_kv_concrete_shape: `Unknown (EngineKVFormat.${ENGINE_KV_FORMAT})`,
    is_mla: false,
    engine_kv_format: ENGINE_KV_FORMAT,
    engine_kv_shape: 'NL x [NB, BS, NH, CS]',
    attention_backend: 'vLLM non-MLA blocks-first, fused K/V (NHD)',
  };
}

/** The body of GET /config: what the command line asked for, in the fields of LMCache 0.5.3. */
export function configOf(options: CacheServerOptions, instanceId: string): Readonly<Record<string, unknown>> {
  const flag = (name: string, fallback: FlagValue): FlagValue => options.given.get(name) ?? fallback;
  return {
    mp: {
      host: options.host,
      port: options.port,
      chunk_size: options.chunkTokens,
      max_workers: options.maxWorkers,
      max_gpu_workers: flag('max-gpu-workers', options.maxWorkers),
      max_cpu_workers: flag('max-cpu-workers', options.maxWorkers),
      hash_algorithm: flag('hash-algorithm', 'blake3'),
      engine_type: flag('engine-type', 'default'),
      separate_object_groups: flag('separate-object-groups', false),
      enable_segmented_prefix: flag('enable-segmented-prefix', false),
      supported_transfer_mode: options.transferMode,
      runtime_plugin_config: { locations: flag('runtime-plugin-locations', []), extra_config: {} },
      p2p_config: {
        advertise_url: flag('p2p-advertise-url', ''),
        listen_url: flag('p2p-listen-url', ''),
        lookup_timeout: flag('p2p-lookup-timeout', 30),
        load_timeout: flag('p2p-load-timeout', 30),
        transfer_engine: flag('p2p-transfer-engine', 'nixl'),
      },
      shm_name: flag('shm-name', null),
      script_allowed_imports: flag('script-allowed-imports', []),
      instance_id: instanceId,
      worker_reap_timeout_seconds: flag('worker-reap-timeout-seconds', 120),
      worker_registration_grace_seconds: flag('worker-registration-grace-seconds', 3600),
      enable: flag('enable', []),
    },
    storage_manager: {
      l1_manager_config: {
        memory_config: {
          size_in_bytes: options.l1SizeGib * GIB,
          use_lazy: options.l1Lazy,
          init_size_in_bytes: options.l1InitialSizeGib * GIB,
          align_bytes: flag('l1-align-bytes', 4096),
          shm_name: flag('shm-name', `lmcache_l1_pool_${process.pid}`),
          devdax_path: flag('l1-devdax-path', null),
          devdax_size_in_bytes: 0,
        },
        gds_l1_config: null,
        write_ttl_seconds: flag('l1-write-ttl-seconds', 600),
        read_ttl_seconds: flag('l1-read-ttl-seconds', 300),
      },
      eviction_config: {
        eviction_policy: options.evictionPolicy,
        trigger_watermark: options.watermark,
        eviction_ratio: options.evictionRatio,
        extra_logging_enabled: flag('enable-extra-logging', false),
        extra_logging_interval: flag('extra-logging-interval', 10),
      },
      l2_adapter_config: { adapters: options.l2Adapters.map((adapter) => ({ type: adapter.name })) },
      store_policy: options.l2StorePolicy,
      prefetch_policy: options.l2PrefetchPolicy,
      prefetch_max_in_flight: options.l2PrefetchMaxInFlight,
      periodic_notifier_interval_ms: flag('periodic-notifier-interval-ms', 5),
    },
    observability: observabilityOf(options, instanceId),
    http: options.http === null ? null : { http_host: options.http.host, http_port: options.http.port },
    coordinator: {
      url: flag('coordinator-url', ''),
      advertise_ip: flag('coordinator-advertise-ip', ''),
      heartbeat_interval: flag('coordinator-heartbeat-interval', 5),
      event_reporting: flag('coordinator-event-reporting', false),
      event_flush_interval: flag('coordinator-event-flush-interval', 1),
    },
  };
}

function observabilityOf(options: CacheServerOptions, instanceId: string): unknown {
  const flag = (name: string, fallback: FlagValue): FlagValue => options.given.get(name) ?? fallback;
  return {
    enabled: !options.given.has('disable-observability'),
    max_queue_size: flag('event-bus-queue-size', 10_000),
    metrics_enabled: options.metricsEnabled,
    logging_enabled: !options.given.has('disable-logging'),
    tracing_enabled: flag('enable-tracing', false),
    otlp_endpoint: flag('otlp-endpoint', null),
    prometheus_port: flag('prometheus-port', 9090),
    metrics_sample_rate: options.metricsSampleRate,
    lookup_hash_log: {
      output_dir: flag('lookup-hash-log-dir', ''),
      rotation_interval_sec: flag('lookup-hash-log-rotation-interval', 21_600),
      rotation_max_size: flag('lookup-hash-log-rotation-max-size', 104_857_600),
      max_files: flag('lookup-hash-log-max-files', 100),
    },
    gc_monitor: {
      enabled: flag('enable-gc-monitor', false),
      min_pause_ms: flag('gc-monitor-min-pause-ms', 1),
      top_objects: flag('gc-monitor-top-objects', 0),
    },
    extra_logging_enabled: flag('enable-extra-logging', false),
    extra_logging_interval: flag('extra-logging-interval', 10),
    trace_level: flag('trace-level', null),
    trace_output: flag('trace-output', null),
    service_instance_id: instanceId,
  };
}
