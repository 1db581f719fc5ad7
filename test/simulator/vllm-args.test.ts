import { describe, expect, it } from 'vitest';
import { UsageError } from '../../simulator/argparse.js';
import { API_SERVER_PARSER, EngineConfigError, parseVllmServe, VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';

const parse = (...argv: string[]) => parseVllmServe(VLLM_SERVE_PARSER, argv);
const CONNECTOR =
  '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both","kv_connector_extra_config":{"lmcache.mp.host":"tcp://localhost","lmcache.mp.port":6555,"lmcache.mp.mq_timeout":10}}';

function failure(...argv: string[]): Error {
  try {
    parse(...argv);
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error(`accepted: ${argv.join(' ')}`);
}

describe('vllm serve, command line', () => {
  it('reads the launch line of the suite', () => {
    const options = parse(
      'Qwen/Qwen3-14B',
      '--kv-transfer-config',
      CONNECTOR,
      '--attention-backend',
      'FLASH_ATTN',
      '--port',
      '8000',
      '--no-async-scheduling',
      '--gpu-memory-utilization',
      '0.5',
      '--enable-prompt-tokens-details',
    );
    expect(options).toMatchObject({
      model: 'Qwen/Qwen3-14B',
      servedModelNames: ['Qwen/Qwen3-14B'],
      port: 8000,
      gpuMemoryUtilization: 0.5,
      promptTokensDetails: true,
      prefixCaching: true,
      connector: { connector: 'LMCacheMPConnector', host: 'localhost', port: 6555, mqTimeoutSeconds: 10 },
      asyncScheduling: false,
      eager: false,
      withoutEffect: ['--attention-backend'],
    });
    expect(options.given).toMatchObject({ attention_backend: 'FLASH_ATTN', async_scheduling: false });
  });

  it('takes every spelling argparse takes', () => {
    for (const argv of [
      ['--max-num-seqs', '7'],
      ['--max-num-seqs=7'],
      ['--max_num_seqs', '7'],
      ['--max_num_seqs=7'],
      ['--max-num-se', '7'],
    ]) {
      expect(parse('Qwen/Qwen3-8B', ...argv).maxNumSeqs).toBe(7);
    }
    expect(parse('--tensor-parallel-size', '2').tensorParallelSize).toBe(2);
    expect(parse('-tp=2').tensorParallelSize).toBe(2);
    expect(parse('--model', 'a/b', '--served-model-name', 'x', 'y', '--port', '1').servedModelNames).toEqual([
      'x',
      'y',
    ]);
    expect(parse('--no-enable-prefix-caching').prefixCaching).toBe(false);
    expect(parse('m', '--max-model-len', '16k').maxModelLen).toBe(16_000);
    expect(parse('m', '--max-model-len', '16K').maxModelLen).toBe(16_384);
    expect(parse('m', '--max-model-len', 'auto').maxModelLen).toBeNull();
    const dotted = parse(
      'm',
      '--kv-transfer-config.kv_connector',
      'LMCacheMPConnector',
      '--kv-transfer-config.kv_role',
      'kv_both',
    );
    expect(dotted.connector).toMatchObject({ connector: 'LMCacheMPConnector', port: 5555 });
  });

  it.each([
    [['m', '--lmcache-port', '1'], 'vllm: error: unrecognized arguments: --lmcache-port 1'],
    [['m', '--speed=10'], 'vllm: error: unrecognized arguments: --speed=10'],
    [['m', 'n'], 'vllm: error: unrecognized arguments: n'],
    [['m', '--port', 'x'], "vllm serve: error: argument --port: invalid int value: 'x'"],
    [['m', '--gpu-memory-utilization', 'half'], "argument --gpu-memory-utilization: invalid float value: 'half'"],
    [['m', '--port'], 'vllm serve: error: argument --port: expected one argument'],
    [['m', '--served-model-name'], 'argument --served-model-name: expected at least one argument'],
    [['m', '--max', '1'], 'vllm serve: error: ambiguous option: --max could match --max-cpu-loras'],
    [['m', '--enforce-eager=yes'], "argument --enforce-eager: ignored explicit argument 'yes'"],
    [['m', '--dtype', 'int4'], "argument --dtype: invalid choice: 'int4' (choose from 'auto'"],
    [['m', '--max-num-seqs', 'many'], "invalid human_readable_int value: 'many'"],
    [['m', '--kv-transfer-config', '{'], 'argument --kv-transfer-config: Value { cannot be converted'],
    [['m', '--port', '70000'], '70000 is not a port number'],
  ])('refuses %j with usage and exit code 2', (argv, message) => {
    const error = failure(...argv);
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(/^usage: vllm /);
    expect(error.message).toContain(message);
  });

  it.each([
    [['m', '--gpu-memory-utilization', '1.5'], 'gpu_memory_utilization'],
    [['m', '--max-num-seqs', '0'], 'max_num_seqs must be greater than 0'],
    [['m', '--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'], 'NixlConnector'],
    [['m', '--kv-transfer-config', '{"kv_connector":"LMCacheMPConnector"}'], 'kv_role'],
  ])('leaves %j to the engine, which refuses it', (argv, message) => {
    const error = failure(...argv);
    expect(error).toBeInstanceOf(EngineConfigError);
    expect(error.message).toContain(message);
  });

  it('has no place for a model outside --model in the module spelling', () => {
    expect(parseVllmServe(API_SERVER_PARSER, ['--model', 'a/b']).model).toBe('a/b');
    expect(() => parseVllmServe(API_SERVER_PARSER, ['a/b'])).toThrow(
      'api_server.py: error: unrecognized arguments: a/b',
    );
  });
});
