import { describe, expect, it } from 'vitest';
import { describeLmEvalFailure, lmEvalArguments } from '../../../steps/lm-eval/lm-eval-runner.js';

const options = {
  taskDirectory: '/results/lm_eval/task',
  model: 'Qwen/Qwen3-14B',
  baseUrl: 'http://127.0.0.1:8000',
  concurrency: 50,
  limit: 300,
  outputPath: '/results/lm_eval/first_run',
  requestTimeoutSeconds: 3600,
} as const;

describe('lmEvalArguments', () => {
  it("is the original suite's command line, with a tokenizer back end that needs no transformers and a limit for each request", () => {
    expect(lmEvalArguments({ ...options, task: 'gsm8k' }).join(' ')).toBe(
      '--model local-completions --tasks gsm8k --model_args ' +
        'model=Qwen/Qwen3-14B,base_url=http://127.0.0.1:8000/v1/completions,num_concurrent=50,max_retries=3,timeout=3600,' +
        'tokenizer_backend=None,tokenized_requests=False --batch_size 1 --limit 300 --seed 0 --log_samples ' +
        '--output_path /results/lm_eval/first_run --gen_kwargs {"temperature": 0.0}',
    );
  });

  it('names the directory of our own task', () => {
    const command = lmEvalArguments({ ...options, task: 'gsm8k_local' }).join(' ');
    expect(command).toContain('--tasks gsm8k_local --include_path /results/lm_eval/task');
  });
});

describe('describeLmEvalFailure', () => {
  it.each([
    ["aiohttp.client_exceptions.ClientResponseError: 500, message='x'", 'regression', 'request-failed'],
    [
      'aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:1',
      'infrastructure',
      'engine-unreachable',
    ],
    [
      "ConnectionError: Couldn't reach 'openai/gsm8k' on the Hub (OfflineModeIsEnabled)",
      'infrastructure',
      'tool-missing',
    ],
    ['KeyError: x', 'unknown', 'exception'],
  ])('judges by the last line: %s', (last, reason, failureCause) => {
    const log = ['API request failed with error message: out of memory', 'Cannot connect to host', '1', '2', '3', last];
    const failure = describeLmEvalFailure('first_run', 1, '/logs/a', log.join('\r\n'));
    expect(failure).toMatchObject({ reason, failureCause, message: expect.stringContaining('see "/logs/a"') });
    expect(failure.evidence[0]).toContain('out of memory');
    expect(failure.evidence.at(-1)).toBe(last);
  });
});
