import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { z } from 'zod';

/** Keys of LMCache's configuration file that this project knows; others are passed on as they are. */
export interface LmcacheSettings {
  readonly chunk_size?: number;
  /** Older releases: `cpu`, `cuda` or `file:///directory/`; null: no local tier. */
  readonly local_device?: string | null;
  /** `lm://host:port` or `redis-sentinel://host:port,host:port`; null: no remote tier. */
  readonly remote_url?: string | null;
  readonly remote_serde?: 'cachegen' | 'safetensor' | 'naive' | null;
  readonly pipelined_backend?: boolean;
  readonly save_decode_cache?: boolean;
  /** GB. */
  readonly max_local_cache_size?: number;
  readonly local_cpu?: boolean;
  /** GB. */
  readonly max_local_cpu_size?: number;
  /** `file:///directory/`; null: none. */
  readonly local_disk?: string | null;
  /** GB. */
  readonly max_local_disk_size?: number;
  readonly [key: string]: unknown;
}

/** How an engine uses LMCache. */
export interface LmcacheConfiguration {
  /** A configuration file of yours, or its content. */
  readonly config: string | LmcacheSettings;
  /** The engine's LMCACHE_* variables beside LMCACHE_CONFIG_FILE. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What the `lm://` server keeps its data on: `cpu`, or a directory. Default: `cpu`. */
  readonly remoteDevice?: string;
  /** An LMCache server of its own process (`lmcache server`) instead of LMCache within the engine; `config` is not read then. */
  readonly server?: LmcacheServer;
}

/** Engines that name the same port share one server. */
export interface LmcacheServer {
  readonly port: number;
  /** Of its HTTP API. */
  readonly httpPort: number;
  /** Size of its memory. */
  readonly l1SizeGb: number;
}

const settingsSchema = z.looseObject({
  remote_url: z.string().nullish(),
  local_device: z.string().nullish(),
  local_disk: z.string().nullish(),
});

/** LMCache reads YAML; so do we. @throws Error naming the file that cannot be read or is none. */
export function readLmcacheFile(file: string): LmcacheSettings {
  try {
    return settingsSchema.parse(parse(readFileSync(file, 'utf8')) ?? {}) as LmcacheSettings;
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : error;
    throw new Error(`LMCache's configuration file "${file}" cannot be used: ${why}`);
  }
}

/** The file's text. */
export function writeLmcacheYaml(settings: LmcacheSettings): string {
  return stringify(settings, { nullStr: 'null' });
}

/** A server of LMCache's that engines share. */
export interface RemoteServer {
  readonly host: string;
  readonly port: number;
}

/**
 * What `remote_url` names: an `lm://` server that we start where it is on this machine, or something that runs already.
 * @throws Error for a URL of another form.
 */
export function remoteServer(url: string | null | undefined): RemoteServer | null {
  if (url === null || url === undefined || url === '') return null;
  const match = /^([a-z][a-z0-9+-]*):\/\/(.+)$/.exec(url);
  if (match === null) throw new Error(`remote_url "${url}" is no URL: expected lm://host:port or redis-sentinel://...`);
  if (match[1] !== 'lm') return null;
  const [, host, port] = /^([^:/]+):(\d{1,5})\/?$/.exec(match[2] ?? '') ?? [];
  if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) {
    throw new Error(`remote_url "${url}": expected lm://host:port`);
  }
  return { host, port: Number(port) };
}

/** Whether an address means this machine, so that its server is ours to start. */
export function isLocalHost(host: string): boolean {
  return host === 'localhost' || host === '127.0.0.1' || host === '0.0.0.0' || host === '::1';
}
