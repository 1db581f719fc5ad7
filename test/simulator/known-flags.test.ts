import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type FlagSpec, UsageError } from '../../simulator/argparse.js';
import { parseServerArguments, type ServerSpelling } from '../../simulator/lmcache/server-arguments.js';
import { CACHE_SERVER_FLAGS, HTTP_FRONTEND_FLAGS } from '../../simulator/lmcache/server-flags.js';
import { parseVllmServe, VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';
import { VLLM_SERVE_FLAGS } from '../../simulator/vllm-flags.js';

const REQUIRED = ['--l1-size-gb', '8', '--eviction-policy', 'LRU'];
/** Values that a flag of this kind takes, where any would do. */
const PLAIN: Readonly<Record<FlagSpec['kind'], readonly string[]>> = {
  text: ['some'],
  integer: ['3'],
  number: ['0.5'],
  count: ['4k'],
  'count-or-auto': ['auto'],
  json: ['{"a": 1}'],
  config: ['{}'],
  'object-or-text': ['some'],
  'dashed-name': ['some'],
  'device-ids': ['0,1'],
  list: ['one', 'two'],
  'any-list': [],
  repeat: ['one'],
  toggle: [],
  switch: [],
  help: [],
  'optional-text': [],
};
/** Where only some values are sound. */
const SOUND: Readonly<Record<string, readonly string[]>> = {
  'enable-auto-tool-choice': ['--tool-call-parser', 'hermes'],
  'kv-transfer-config': ['{"kv_connector": "LMCacheMPConnector", "kv_role": "kv_both"}'],
  'speculative-config': ['{"method": "ngram", "num_speculative_tokens": 3}'],
  'enable-log-outputs': ['--enable-log-requests'],
  'reasoning-parser': ['qwen3'],
  'lora-modules': ['a=b', '{"name": "c", "path": "d"}'],
  'l2-adapter': ['{"type": "fs", "base_path": "/tmp/x"}'],
};

function given(name: string, spec: FlagSpec): readonly string[] {
  const [choice] = spec.choices ?? [];
  const plain = spec.items === 'integer' ? ['1', '2'] : PLAIN[spec.kind];
  return [`--${name}`, ...(SOUND[name] ?? (choice === undefined ? plain : [String(choice)]))];
}

function refusal(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    if (error instanceof UsageError) {
      expect(error.exitCode).toBe(2);
      return error.message;
    }
    throw error;
  }
  return 'accepted';
}

describe('flags of the real programs are accepted, modelled or not', () => {
  /** They make another command line of what is given. */
  const ownTests = ['help', 'config', 'model'];
  const others = Object.entries(VLLM_SERVE_FLAGS).filter(([name]) => !ownTests.includes(name));

  it.each(others)('vllm serve --%s', (name, spec) => {
    expect(refusal(() => parseVllmServe(VLLM_SERVE_PARSER, ['m', ...given(name, spec)]))).toBe('accepted');
    if (spec.kind === 'toggle') {
      expect(refusal(() => parseVllmServe(VLLM_SERVE_PARSER, ['m', `--no-${name}`]))).toBe('accepted');
    }
  });

  it.each(Object.entries({ ...CACHE_SERVER_FLAGS, ...HTTP_FRONTEND_FLAGS }))('lmcache server --%s', (name, spec) => {
    expect(refusal(() => parseServerArguments('server', [...REQUIRED, ...given(name, spec)]))).toBe('accepted');
  });

  it('says of those that it does not model that they have no effect', () => {
    const { withoutEffect } = parseVllmServe(VLLM_SERVE_PARSER, [
      'm',
      '--moe-backend',
      'triton',
      '--max-num-seqs',
      '4',
    ]);
    expect(withoutEffect).toEqual(['--moe-backend']);
  });

  it('knows all that its references name', () => {
    const cacheServer =
      '--transport zmq --host h --port 6555 --chunk-size 256 --max-workers 4 --supported-transfer-mode auto --shm-name x ' +
      '--http-host 127.0.0.1 --http-port 8080 --l1-size-gb 80 --no-l1-use-lazy --eviction-policy IsolatedLRU --l2-store-policy skip_l1 ' +
      '--l2-prefetch-policy retain --metrics-sample-rate 1.0 --disable-metrics';
    expect(refusal(() => parseServerArguments('server', cacheServer.split(' ')))).toBe('accepted');
    const engine =
      'm --attention-backend FLASH_ATTN --port 8000 --no-async-scheduling --gpu-memory-utilization 0.5 --load-format dummy ' +
      '--served-model-name n --enable-prompt-tokens-details --max-num-batched-tokens 8192 --enable-chunked-prefill --seed 1';
    expect(refusal(() => parseVllmServe(VLLM_SERVE_PARSER, engine.split(' ')))).toBe('accepted');
  });

  it('has a flag for each setting that the recorded /config of LMCache shows', () => {
    const text = readFileSync(new URL('../fixtures/lmcache-0.5.3/get-config.txt', import.meta.url), 'utf8');
    const flags = Object.keys({ ...CACHE_SERVER_FLAGS, ...HTTP_FRONTEND_FLAGS })
      .join(' ')
      .replaceAll('-', '_');
    /** Named otherwise on the command line, or made up by the server. */
    const other = new Set([
      ...['size_in_bytes', 'init_size_in_bytes', 'devdax_size_in_bytes', 'adapters', 'store_policy', 'prefetch_policy'],
      ...[
        'enabled',
        'max_queue_size',
        'output_dir',
        'rotation_interval_sec',
        'rotation_max_size',
        'service_instance_id',
      ],
      ...['trigger_watermark', 'metrics_enabled', 'logging_enabled', 'tracing_enabled', 'extra_logging_enabled'],
      ...['locations', 'extra_config', 'gds_l1_config', 'url', 'max_files', 'min_pause_ms', 'top_objects'],
    ]);
    const settings = [...text.matchAll(/^ *"(\w+)": (?!\{)/gm)].map(([, name = '']) => name);
    expect(settings.length).toBeGreaterThan(50);
    expect(settings.filter((name) => !other.has(name) && !flags.includes(name))).toEqual([]);
  });
});

describe('what the real parsers do not know is refused in their words, with exit code 2', () => {
  const asServer = (spelling: ServerSpelling, ...argv: string[]) => refusal(() => parseServerArguments(spelling, argv));
  const asEngine = (...argv: string[]) => refusal(() => parseVllmServe(VLLM_SERVE_PARSER, ['m', ...argv]));

  it.each([
    ['--l1-size-gbs', '80'],
    ['--cache-size', '80'],
    ['--http-ports', '1'],
    ['--max-num-seqs', '4'],
  ])('lmcache server %s %s', (...argv) => {
    expect(asServer('server', ...REQUIRED, ...argv)).toMatch(
      new RegExp(`^usage: lmcache [^]*\\nlmcache: error: unrecognized arguments: ${argv.join(' ')}$`),
    );
  });

  it.each([['--l1-size-gb', '80'], ['--http-port', '8080'], ['--gpu-memory', 'x', 'y'], ['-x']])(
    'vllm serve m %s',
    (...argv) => {
      const message = asEngine(...argv);
      // A prefix of one flag alone is that flag.
      if (argv[0] === '--gpu-memory')
        expect(message).toContain("argument --gpu-memory-utilization: invalid float value: 'x'");
      else
        expect(message).toMatch(
          new RegExp(`^usage: vllm [^]*\\nvllm: error: unrecognized arguments: ${argv.join(' ')}$`),
        );
    },
  );

  it('several at once, each with its values', () => {
    expect(asEngine('--one', '1', '--port', '1', '--two=2', 'n')).toContain(
      'unrecognized arguments: --one 1 --two=2 n',
    );
  });

  it('the newer HTTP flags in the module spelling of the cache server', () => {
    expect(asServer('module', ...REQUIRED, '--http-port', '1')).toContain(
      'server.py: error: unrecognized arguments: --http-port 1',
    );
  });
});
