import { z } from 'zod';

const portSchema = z.coerce.number().int().min(1).max(65535);

const configSchema = z.looseObject({
  kv_connector: z.string(),
  kv_role: z.enum(['kv_producer', 'kv_consumer', 'kv_both']),
  kv_load_failure_policy: z.enum(['recompute', 'fail']).default('fail'),
  kv_connector_extra_config: z
    .looseObject({
      'lmcache.mp.host': z.string().optional(),
      'lmcache.mp.port': portSchema.optional(),
      'lmcache.mp.mq_timeout': z.coerce.number().positive().optional(),
      'lmcache.mp.heartbeat_interval': z.coerce.number().positive().optional(),
    })
    .optional(),
});

/** What an engine's `--kv-transfer-config` asks for. */
export type KvTransferConfig = {
  /** What becomes of a request whose load fails: it is computed, or ends with an error (vLLM 0.26's default). */
  readonly loadFailurePolicy: 'recompute' | 'fail';
} & (
  | {
      readonly connector: 'LMCacheMPConnector';
      readonly host: string;
      readonly port: number;
      /** Seconds a request to the server may take. */
      readonly mqTimeoutSeconds: number;
      /** Seconds between two pings to the server, and how long each waits for its answer. */
      readonly heartbeatSeconds: number;
    }
  | { readonly connector: 'LMCacheConnectorV1' }
);

/** LMCache's own defaults for the multiprocess connector. */
const DEFAULT_HOST = 'localhost';
const DEFAULT_PORT = 5555;
const DEFAULT_MQ_TIMEOUT_SECONDS = 300;
const DEFAULT_HEARTBEAT_SECONDS = 10;

/**
 * Reads the JSON of `--kv-transfer-config`.
 * @throws Error with the value in quotes and what is allowed.
 */
export function parseKvTransferConfig(json: string): KvTransferConfig {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new Error(`--kv-transfer-config is not JSON: "${json}"`);
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(
      `--kv-transfer-config: "${issue?.path.join('.') ?? ''}" is invalid: ${issue?.message ?? 'unknown'}`,
    );
  }
  const { kv_connector: connector, kv_connector_extra_config: extra } = parsed.data;
  const { kv_load_failure_policy: loadFailurePolicy } = parsed.data;
  if (connector === 'LMCacheConnectorV1') return { connector, loadFailurePolicy };
  if (connector !== 'LMCacheMPConnector') {
    throw new Error(
      `Unsupported connector type: "${connector}"; the simulator knows LMCacheMPConnector and LMCacheConnectorV1`,
    );
  }
  return {
    connector,
    loadFailurePolicy,
    host: (extra?.['lmcache.mp.host'] ?? DEFAULT_HOST).replace(/^tcp:\/\//, ''),
    port: extra?.['lmcache.mp.port'] ?? DEFAULT_PORT,
    mqTimeoutSeconds: extra?.['lmcache.mp.mq_timeout'] ?? DEFAULT_MQ_TIMEOUT_SECONDS,
    heartbeatSeconds: extra?.['lmcache.mp.heartbeat_interval'] ?? DEFAULT_HEARTBEAT_SECONDS,
  };
}
