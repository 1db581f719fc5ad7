import { describe, expect, it } from 'vitest';
import { UsageError } from '../../simulator/argparse.js';
import { EngineConfigError } from '../../simulator/engine-config-error.js';
import { API_SERVER_PARSER, parseVllmServe, VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';

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
    expect(parse('m').gpuMemoryUtilization).toBe(0.92);
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
    [['m', '--dtype', 'int4'], "argument --dtype: invalid choice: 'int4' (choose from 'auto'"],
    [
      ['m', '--kv-transfer-config', '{"kv_connector":"LMCacheMPConnector"}'],
      'Please specify kv_role when kv_connector',
    ],
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
    [['m', '--port', '70000'], 'bind(): port must be 0-65535'],
    [
      ['m', '--enable-auto-tool-choice', '--tool-call-parser', 'hermse'],
      "'invalid tool call parser: hermse (chose from { apertus,",
    ],
    [['m', '--reasoning-parser', 'qwen4'], "'invalid reasoning parser: qwen4 (chose from { cohere_command3,"],
  ])('leaves %j to the engine, which refuses it', (argv, message) => {
    const error = failure(...argv);
    expect(error).toBeInstanceOf(EngineConfigError);
    expect(error.message).toContain(message);
  });

  it('looks at the name of a parser only where it is used, and where no plugin may know it', () => {
    expect(parse('m', '--tool-call-parser', 'hermse').toolParser).toBe(false);
    const plugin = ['--tool-parser-plugin', 'x.py', '--enable-auto-tool-choice', '--tool-call-parser', 'own'];
    expect(parse('m', ...plugin).toolParser).toBe(true);
  });

  it('takes and forgets a model outside --model in the module spelling, as the real program', () => {
    expect(parseVllmServe(API_SERVER_PARSER, ['--model', 'a/b']).model).toBe('a/b');
    expect(parseVllmServe(API_SERVER_PARSER, ['a/b']).model).toBe('Qwen/Qwen3-0.6B');
    expect(() => parseVllmServe(API_SERVER_PARSER, ['a/b', 'c'])).toThrow(
      'api_server.py: error: unrecognized arguments: c',
    );
  });
});
