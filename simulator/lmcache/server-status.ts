import type { CacheTier } from './cache-tier.js';
import type { CacheServerOptions } from './server-arguments.js';
import type { TierEndpoint } from './tier-endpoint.js';

const GIB = 1024 ** 3;

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
            num_blocks: Math.floor(engine.kvPoolTokens / 16),
            cache_size_per_token: engine.kvBytesPerToken,
          },
        },
      ]),
    ),
    registered_non_cuda_instance_ids: [],
    non_cuda_context_meta: {},
  };
}

/** The body of GET /config: what the command line asked for, in the fields of LMCache 0.5.3. */
export function configOf(options: CacheServerOptions, instanceId: string): Readonly<Record<string, unknown>> {
  return {
    mp: {
      host: options.host,
      port: options.port,
      chunk_size: options.chunkTokens,
      max_workers: options.maxWorkers,
      max_gpu_workers: options.maxWorkers,
      max_cpu_workers: options.maxWorkers,
      hash_algorithm: 'blake3',
      engine_type: 'default',
      supported_transfer_mode: options.transferMode,
      instance_id: instanceId,
    },
    storage_manager: {
      l1_manager_config: {
        memory_config: {
          size_in_bytes: options.l1SizeGib * GIB,
          use_lazy: options.l1Lazy,
          init_size_in_bytes: options.l1InitialSizeGib * GIB,
        },
        write_ttl_seconds: 600,
        read_ttl_seconds: 300,
      },
      eviction_config: {
        eviction_policy: options.evictionPolicy,
        trigger_watermark: options.watermark,
        eviction_ratio: options.evictionRatio,
      },
      l2_adapter_config: { adapters: options.l2Adapters.map((adapter) => ({ type: adapter.name })) },
      store_policy: options.l2StorePolicy,
      prefetch_policy: options.l2PrefetchPolicy,
      prefetch_max_in_flight: options.l2PrefetchMaxInFlight,
    },
    observability: {
      enabled: options.metricsEnabled,
      metrics_enabled: options.metricsEnabled,
      metrics_sample_rate: options.metricsSampleRate,
      service_instance_id: instanceId,
    },
    http: options.http === null ? null : { http_host: options.http.host, http_port: options.http.port },
  };
}
