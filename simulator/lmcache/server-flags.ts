import type { FlagSpec } from '../argparse.js';
import { EVICTION_POLICIES } from './eviction-policy.js';

/**
 * Flags of LMCache's multiprocess server (0.5.3, and --transport and ARC of its successors). Most change nothing
 * in the simulator; they are here so that a real launch line is accepted and a misspelt one is refused.
 */
export const CACHE_SERVER_FLAGS: Readonly<Record<string, FlagSpec>> = {
  'instance-id': { kind: 'text' },
  transport: { kind: 'text', choices: ['zmq', 'grpc'] },
  host: { kind: 'text' },
  port: { kind: 'integer' },
  'chunk-size': { kind: 'integer' },
  'max-workers': { kind: 'integer' },
  'max-gpu-workers': { kind: 'integer' },
  'max-cpu-workers': { kind: 'integer' },
  'hash-algorithm': { kind: 'text' },
  'engine-type': { kind: 'text', choices: ['default', 'blend', 'blend_legacy'] },
  'supported-transfer-mode': { kind: 'text', choices: ['lmcache_driven', 'engine_driven', 'auto'] },
  'runtime-plugin-locations': { kind: 'any-list' },
  'runtime-plugin-config': { kind: 'text' },
  'shm-name': { kind: 'text' },
  'script-allowed-imports': { kind: 'any-list' },
  'separate-object-groups': { kind: 'toggle' },
  'worker-reap-timeout-seconds': { kind: 'number' },
  'worker-registration-grace-seconds': { kind: 'number' },
  'enable-segmented-prefix': { kind: 'switch' },
  enable: { kind: 'list' },
  'coordinator-url': { kind: 'text' },
  'coordinator-advertise-ip': { kind: 'text' },
  'coordinator-heartbeat-interval': { kind: 'number' },
  'coordinator-event-reporting': { kind: 'switch' },
  'coordinator-event-flush-interval': { kind: 'number' },
  'coordinator-l2-event-reporting': { kind: 'switch' },
  'coordinator-l2-event-flush-interval': { kind: 'number' },
  'l1-size-gb': { kind: 'number' },
  'l1-use-lazy': { kind: 'toggle' },
  'l1-init-size-gb': { kind: 'integer' },
  'l1-align-bytes': { kind: 'integer' },
  'l1-devdax-path': { kind: 'text' },
  'gds-l1-path': { kind: 'text' },
  'gds-l1-use-direct-io': { kind: 'toggle' },
  'l1-write-ttl-seconds': { kind: 'integer' },
  'l1-read-ttl-seconds': { kind: 'integer' },
  'eviction-policy': { kind: 'text', choices: EVICTION_POLICIES },
  'eviction-trigger-watermark': { kind: 'number' },
  'eviction-ratio': { kind: 'number' },
  'l2-store-policy': { kind: 'text', choices: ['default', 'skip_l1'] },
  'l2-prefetch-policy': { kind: 'text', choices: ['default', 'retain'] },
  'l2-prefetch-max-in-flight': { kind: 'integer' },
  'l2-adapter': { kind: 'repeat' },
  'periodic-notifier-interval-ms': { kind: 'integer' },
  'disable-observability': { kind: 'switch' },
  'disable-metrics': { kind: 'switch' },
  'disable-logging': { kind: 'switch' },
  'enable-tracing': { kind: 'switch' },
  'otlp-endpoint': { kind: 'text' },
  'event-bus-queue-size': { kind: 'integer' },
  'prometheus-port': { kind: 'integer' },
  'metrics-sample-rate': { kind: 'number' },
  'lookup-hash-log-dir': { kind: 'text' },
  'lookup-hash-log-rotation-interval': { kind: 'integer' },
  'lookup-hash-log-rotation-max-size': { kind: 'integer' },
  'lookup-hash-log-max-files': { kind: 'integer' },
  'enable-gc-monitor': { kind: 'switch' },
  'gc-monitor-min-pause-ms': { kind: 'number' },
  'gc-monitor-top-objects': { kind: 'integer' },
  'enable-extra-logging': { kind: 'switch' },
  'extra-logging-interval': { kind: 'number' },
  'trace-level': { kind: 'text', choices: ['storage'] },
  'trace-output': { kind: 'text' },
};

/** Only `lmcache server` has these. */
export const HTTP_FRONTEND_FLAGS: Readonly<Record<string, FlagSpec>> = {
  'http-host': { kind: 'text' },
  'http-port': { kind: 'integer' },
  'p2p-advertise-url': { kind: 'text' },
  'p2p-listen-url': { kind: 'text' },
  'p2p-lookup-timeout': { kind: 'number' },
  'p2p-load-timeout': { kind: 'number' },
  'p2p-transfer-engine': { kind: 'text' },
};

/** The older name of --l1-size-gb in `python3 -m lmcache.v1.multiprocess.server` (0.3.13), which evicted by LRU unasked. */
export const OLDER_MODULE_FLAGS: Readonly<Record<string, FlagSpec>> = {
  'cpu-buffer-size': { kind: 'number' },
};
