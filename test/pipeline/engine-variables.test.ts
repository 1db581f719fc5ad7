import { afterEach, describe, expect, it, vi } from 'vitest';
import { configure } from '../../pipeline/config/configure.js';
import { collectDefinitions } from '../../pipeline/config/definitions.js';
import { loadSteps } from '../../pipeline/config/settings-flags.js';
import { settingValues } from '../../pipeline/run-plan.js';
import type { CommonSettings } from '../../steps/common-settings.js';
import type { LaunchSettings } from '../../steps/launch-settings.js';
import { planLaunch } from '../../steps/plan-launch.js';

const definitions = collectDefinitions(await loadSteps());

/** What a run with these variables would launch, as child processes on real cards. */
function launched(environment: Readonly<Record<string, string>>) {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const { settings } = configure(definitions, {}, {});
  const gpus = ([0, 1] as const).map((index) => ({
    index,
    uuid: `GPU-${index}`,
    name: 'x',
    memoryTotalMiB: 143_771,
    memoryFreeMiB: 143_156,
  }));
  const [first, second] = gpus;
  if (!first || !second) throw new Error('no cards');
  const values = { LMCACHE_HTTP_PORT: 8080, ...settingValues(settings), BUILD_ID: 'b' };
  const specs = planLaunch(
    values as unknown as CommonSettings & LaunchSettings,
    { buildId: 'b', engine: 'vllm', workspace: '/w', runtime: 'process' },
    { image: '', gpus: [first, second] },
  );
  return { specs, settings };
}

afterEach(() => vi.unstubAllEnvs());

describe('variables for the engines', () => {
  it('reach both vLLMs or the cache server, and are recorded with their origin', () => {
    const { specs, settings } = launched({ VLLM_ENV_PYTHONPATH: '/a:/b', LMCACHE_ENV_DEBUG: '1' });
    const [lmcache, vllm, baseline] = specs;
    expect(vllm?.environment).toMatchObject({ PYTHONPATH: '/a:/b' });
    expect(baseline?.environment).toMatchObject({ PYTHONPATH: '/a:/b' });
    expect(lmcache?.environment).toMatchObject({ DEBUG: '1' });
    expect(lmcache?.environment).not.toHaveProperty('PYTHONPATH');
    expect(settings.find(({ name }) => name === 'VLLM_ENV_PYTHONPATH')).toMatchObject({
      value: '/a:/b',
      origin: 'environment',
      source: 'VLLM_ENV_PYTHONPATH',
    });
  });

  it('and further arguments that cannot be used are told all at once', () => {
    const bad = {
      VLLM_ENV_CUDA_VISIBLE_DEVICES: '3',
      'LMCACHE_ENV_1-X': 'y',
      VLLM_EXTRA_ARGS: "--a 'open",
      LMCACHE_EXTRA_ARGS: '--http-port=1',
    };
    const failing = () => launched(bad);
    expect(failing).toThrow(/4 settings cannot be used/);
    expect(failing).toThrow(/VLLM_ENV_CUDA_VISIBLE_DEVICES="3" \(from the environment\).*the run chooses the GPUs/);
    expect(failing).toThrow(/LMCACHE_ENV_1-X="y".*no name of a variable/);
    expect(failing).toThrow(/VLLM_EXTRA_ARGS="--a 'open".*quotes closed/);
    expect(failing).toThrow(/LMCACHE_EXTRA_ARGS="--http-port=1".*without --port, --http-port/);
  });

  it('further arguments are parted into words; the caches of two engines differ', () => {
    // Everybody on the machine could read it in the process list, and our clients send none.
    expect(() => launched({ VLLM_EXTRA_ARGS: '--api-key abc' })).toThrow(/without .*--api-key/);
    const { specs } = launched({ VLLM_EXTRA_ARGS: `--load-format dummy --hf-overrides '{"a": 1}'` });
    expect(specs[1]?.args.slice(-4)).toEqual(['--load-format', 'dummy', '--hf-overrides', '{"a": 1}']);
    const roots = specs.map(({ environment }) => environment['VLLM_CACHE_ROOT']);
    expect(roots[0]).toBeUndefined();
    expect(roots[1]).toMatch(/\.cache\/lmcache-ci\/compile\/vllm\/vllm$/);
    expect(roots[2]).toMatch(/\.cache\/lmcache-ci\/compile\/baseline\/vllm$/);
  });
});
