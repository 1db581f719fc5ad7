import { describe, expect, it } from 'vitest';
import { engineEnvironment } from '../../engines/engine-environment.js';
import { commonSettings } from '../../steps/common-settings.js';

describe('the environment of an engine', () => {
  it('holds none of our settings', () => {
    const own = Object.fromEntries(Object.keys(commonSettings).map((name) => [name, 'ours']));
    const { HF_HOME, ...rest } = engineEnvironment({ ...own, CI: 'true', NODE_OPTIONS: '--x' }, {});
    expect(rest).toEqual({});
    // The cache's place is the engine's business as well.
    expect(HF_HOME).toBe('ours');
  });

  it('lets programs, libraries, language and model cache be found', () => {
    const ours = {
      PATH: '/bin',
      HOME: '/root',
      LANG: 'C.UTF-8',
      LC_ALL: 'C',
      TMPDIR: '/t',
      LD_LIBRARY_PATH: '/lib',
      CUDA_HOME: '/cuda',
      HF_HOME: '/hf',
    };
    expect(engineEnvironment({ ...ours, CUDA_VISIBLE_DEVICES: '7', VLLM_USE_V1: '1' }, {})).toEqual(ours);
  });

  it("puts the launch spec's variables above ours", () => {
    const own = { PATH: '/opt/venv/bin', SIM_SPEED: '10' };
    expect(engineEnvironment({ PATH: '/bin', SIM_SPEED: '3' }, own)).toEqual(own);
  });
});
