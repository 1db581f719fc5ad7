import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { type ConversationAwareOptions, defaultConversationAware } from './conversation-worth.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Words that YAML and LMCache read as true. */
const TRUE_WORDS = ['1', 'true', 'yes', 'on'];
const booleanField = z
  .union([z.boolean(), z.string()])
  .transform((value) => (typeof value === 'boolean' ? value : TRUE_WORDS.includes(value.toLowerCase())));
const sizeField = z.coerce.number().nonnegative();
const pathField = z.string().transform((value) => value.replace(/^file:\/\//, ''));
const remoteUrlField = z.string().regex(/^(lm|redis|redis-sentinel):\/\/./, {
  error: 'must begin with lm://, redis:// or redis-sentinel://',
});

const fields = {
  chunk_size: z.coerce.number().int().positive(),
  local_cpu: booleanField,
  max_local_cpu_size: sizeField,
  local_disk: pathField,
  max_local_disk_size: sizeField,
  remote_url: remoteUrlField,
  remote_serde: z.enum(['naive', 'cachegen', 'safetensor']),
  save_decode_cache: booleanField,
  enable_async_loading: booleanField,
  cache_policy: z.enum(['LRU', 'ARC']),
  extra_config: z.preprocess(
    (value) => (typeof value === 'string' ? parseYaml(value) : value),
    z.looseObject({
      use_conversation_eviction: booleanField.nullish(),
      conversation_eviction_config: z
        .looseObject({
          reference_seconds: z.number().positive().optional(),
          return_weight: z.number().nonnegative().optional(),
        })
        .nullish(),
    }),
  ),
  /** Older names. */
  local_device: z.string(),
  max_local_cache_size: sizeField,
  pipelined_backend: booleanField,
} as const;
type Key = keyof typeof fields;

/** Where an engine's own LMCache keeps KV, from its configuration. Sizes in GiB. */
export interface EngineCacheConfig {
  readonly chunkTokens: number;
  /** The first tier: host memory, or memory of the GPU itself (`local_device: cuda`); null: none. */
  readonly memory: { readonly on: 'cpu' | 'gpu'; readonly gib: number } | null;
  /** Host memory that everything else passes through, and that keeps nothing. */
  readonly stagingGib: number;
  readonly disk: { readonly path: string; readonly gib: number } | null;
  readonly remote: { readonly url: string; readonly serde: 'naive' | 'cachegen' | 'safetensor' } | null;
  /** Fetching and decoding of remote chunks overlap. */
  readonly pipelined: boolean;
  readonly saveDecodeCache: boolean;
  /** Others run while a prompt is loaded. */
  readonly asyncLoading: boolean;
  readonly evictionPolicy: 'LRU' | 'ARC' | 'conversation';
  readonly conversationAware: ConversationAwareOptions;
  /** Keys that the simulator does not know. */
  readonly ignored: readonly string[];
}

/** LMCache's defaults. */
const DEFAULT_CHUNK_TOKENS = 256;
const DEFAULT_MEMORY_GIB = 5;
/** The older configuration had no limit; this is larger than any experiment. */
const OLDER_DEFAULT_GIB = 1000;

/**
 * Reads LMCACHE_CONFIG_FILE (YAML) and, above it, LMCACHE_* variables: the keys of today's LMCache and those of the
 * first ones (local_device, max_local_cache_size, pipelined_backend).
 * @throws Error naming the setting, where it stands, and what is allowed.
 */
export function readEngineCacheConfig(environment: Environment): EngineCacheConfig {
  const file = environment.LMCACHE_CONFIG_FILE;
  const fromFile = file ? readConfigFile(file) : {};
  const given = new Map<Key, unknown>();
  const ignored: string[] = [];
  for (const [key, value] of Object.entries(fromFile)) {
    if (value === null) continue;
    if (isKey(key)) given.set(key, parse(key, value, `"${file}"`));
    else ignored.push(key);
  }
  for (const [name, value] of Object.entries(environment)) {
    const key = name.startsWith('LMCACHE_') ? name.slice('LMCACHE_'.length).toLowerCase() : '';
    if (isKey(key) && value) given.set(key, parse(key, value, name));
  }
  return arrange((key) => given.get(key), ignored);
}

function arrange(get: (key: Key) => unknown, ignored: readonly string[]): EngineCacheConfig {
  const number = (key: Key): number | null => numberOrNull(get(key));
  const text = (key: Key): string | null => textOrNull(get(key));
  const device = text('local_device');
  const olderGib = number('max_local_cache_size') ?? OLDER_DEFAULT_GIB;
  const isOlder = device !== null || get('max_local_cache_size') !== undefined;
  const newerGib = number('max_local_cpu_size') ?? DEFAULT_MEMORY_GIB;
  const onDisk = device !== null && /^(file:\/\/|\/)/.test(device);
  const diskPath = text('local_disk') ?? (onDisk ? device.replace(/^file:\/\//, '') : null);
  const url = text('remote_url');
  const { unknownOptions, ...eviction } = evictionOf(text('cache_policy'), get('extra_config'));
  const memoryIsOff = get('local_cpu') === false || onDisk || newerGib === 0;
  return {
    chunkTokens: number('chunk_size') ?? DEFAULT_CHUNK_TOKENS,
    memory: memoryIsOff ? null : { on: device?.startsWith('cuda') ? 'gpu' : 'cpu', gib: isOlder ? olderGib : newerGib },
    stagingGib: Math.max(newerGib, DEFAULT_MEMORY_GIB),
    disk:
      diskPath === null
        ? null
        : { path: diskPath, gib: number('max_local_disk_size') ?? (onDisk ? olderGib : OLDER_DEFAULT_GIB) },
    remote: url === null ? null : { url, serde: serdeOf(text('remote_serde')) },
    pipelined: get('pipelined_backend') === true,
    saveDecodeCache: get('save_decode_cache') === true,
    asyncLoading: get('enable_async_loading') === true,
    ...eviction,
    ignored: [...ignored, ...unknownOptions],
  };
}

function serdeOf(name: string | null): 'naive' | 'cachegen' | 'safetensor' {
  return name === 'cachegen' || name === 'safetensor' ? name : 'naive';
}

function evictionOf(
  policy: string | null,
  extra: unknown,
): Pick<EngineCacheConfig, 'evictionPolicy' | 'conversationAware'> & { readonly unknownOptions: readonly string[] } {
  const { use_conversation_eviction: isConversationAware, conversation_eviction_config: given } =
    fields.extra_config.safeParse(extra).data ?? {};
  const { reference_seconds, return_weight, ...unknown } = given ?? {};
  return {
    evictionPolicy: isConversationAware ? 'conversation' : policy === 'ARC' ? 'ARC' : 'LRU',
    conversationAware: {
      referenceSeconds: reference_seconds ?? defaultConversationAware.referenceSeconds,
      returnWeight: return_weight ?? defaultConversationAware.returnWeight,
    },
    unknownOptions: Object.keys(unknown).map((key) => `conversation_eviction_config.${key}`),
  };
}

function isKey(key: string): key is Key {
  return Object.hasOwn(fields, key);
}

function parse(key: Key, value: unknown, where: string): unknown {
  const parsed = fields[key].safeParse(value);
  if (parsed.success) return key === 'extra_config' ? value : parsed.data;
  const [issue] = parsed.error.issues;
  const shown = typeof value === 'string' ? value : JSON.stringify(value);
  throw new Error(`LMCache setting "${key}" in ${where} is "${shown}": ${issue?.message ?? 'invalid'}`);
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function readConfigFile(file: string): Readonly<Record<string, unknown>> {
  try {
    return z.looseObject({}).parse(parseYaml(readFileSync(file, 'utf8')) ?? {});
  } catch (error) {
    throw new Error(
      `cannot read LMCACHE_CONFIG_FILE "${file}": ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
