import { describe, expect, it } from 'vitest';
import { chooseEngine, type MachineProbes } from '../../pipeline/engine-choice.js';

const machine = (
  parts: Partial<Record<'docker' | 'gpus' | 'vllm', string>> & { simulated?: boolean } = {},
): MachineProbes => ({
  dockerMissing: async () => parts.docker ?? null,
  gpusMissing: async () => parts.gpus ?? null,
  vllmMissing: async () => parts.vllm ?? null,
  externalIsSimulated: async () => parts.simulated ?? false,
});

describe('ENGINE=auto', () => {
  it('takes vLLM in Docker where daemon and GPUs are', async () => {
    expect(await chooseEngine('auto', 'auto', true, machine())).toMatchObject({ engine: 'vllm', runtime: 'docker' });
  });

  it('takes vLLM as processes where that runtime is asked for and vllm is there', async () => {
    expect(await chooseEngine('auto', 'process', false, machine({ docker: 'none.' }))).toMatchObject({
      engine: 'vllm',
      runtime: 'process',
    });
  });

  it.each([{ docker: 'No daemon.' }, { gpus: 'No GPU.' }])(
    'falls back to the simulator and says why: %j',
    async (missing) => {
      const choice = await chooseEngine('auto', 'auto', false, machine(missing));
      expect(choice).toMatchObject({ engine: 'sim', runtime: 'process', why: Object.values(missing)[0] });
    },
  );

  it('refuses to simulate silently on CI', async () => {
    const choice = await chooseEngine('auto', 'auto', true, machine({ gpus: 'No GPU.' }));
    expect(choice.chosen).toBe(false);
    expect(choice).toMatchObject({ message: expect.stringContaining('ENGINE=sim') });
  });
});

describe('an engine that was asked for', () => {
  it('is taken as it is: the simulator also on CI, vLLM also without a GPU', async () => {
    expect(await chooseEngine('sim', 'auto', true, machine({ gpus: 'x' }))).toMatchObject({
      engine: 'sim',
      runtime: 'process',
    });
    expect(await chooseEngine('sim', 'docker', true, machine())).toMatchObject({ engine: 'sim', runtime: 'docker' });
    expect(await chooseEngine('vllm', 'auto', false, machine({ gpus: 'x' }))).toMatchObject({
      engine: 'vllm',
      runtime: 'docker',
    });
  });
});

describe('external servers', () => {
  it('are asked whether they are simulated', async () => {
    expect(await chooseEngine('auto', 'external', true, machine({ simulated: true }))).toMatchObject({ engine: 'sim' });
    expect(await chooseEngine('auto', 'external', true, machine())).toMatchObject({
      engine: 'vllm',
      runtime: 'external',
    });
  });
});
