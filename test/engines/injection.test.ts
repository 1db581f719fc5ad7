import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRequest } from '../../docker/create-request.js';
import { DockerError } from '../../docker/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';
import { createProcessRuntime } from '../../engines/process-runtime.js';
import { collectDefinitions } from '../../pipeline/config/definitions.js';
import type { SettingValue } from '../../pipeline/config/parse-value.js';
import { resolveSettings } from '../../pipeline/config/resolve-settings.js';
import { loadSteps } from '../../pipeline/config/settings-flags.js';
import type { CommonSettings } from '../../steps/common-settings.js';
import type { LaunchSettings } from '../../steps/launch-settings.js';
import { lmEvalArguments } from '../../steps/lm-eval/lm-eval-runner.js';
import { planLaunch } from '../../steps/plan-launch.js';
import { benchArguments } from '../../steps/vllm-bench/vllm-client.js';
import { fakeSpec, temporaryDirectory } from './engine-rig.js';

const nasty = [
  '"',
  "'",
  ' ',
  '\n',
  '\t',
  '$(id)',
  '`id`',
  ';',
  '&&',
  '|',
  '-',
  '--port=1',
  '=',
  ',',
  '\\',
  '{',
  '}',
  'ü',
  '雪',
  '\u0000',
  '*',
  '>x',
  '%',
  '../',
];
/** Text that a shell, an option parser or a list of pairs would take apart. */
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...nasty), fc.string({ maxLength: 6 }), fc.constantFrom('a', 'Qwen', '/tmp/x')), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => parts.join(''));

const definitions = collectDefinitions(await loadSteps());
// Those of type `arguments` are there to add some.
const names = Object.keys(definitions).filter((name) => definitions[name]?.type !== 'arguments');
/** Settings that add an option by being there. */
const optional: Readonly<Record<string, string>> = { GPU_MEMORY_UTILIZATION: '0.5', MODEL_PATH: '/models/sound' };
const benign = { MODEL: 'Qwen/Qwen3-14B', HF_HOME: '/cache', BUILD_ID: '4711', RESULTS_DIR: '/results' };

type Values = Readonly<Record<string, SettingValue | null>>;

/** null: refused before anything starts, which the command line ends with exit code 2. */
function parsed(given: Readonly<Record<string, string>>): Values | null {
  const { settings, errors } = resolveSettings(definitions, { flag: { ...benign, ...given } });
  return errors.length > 0 ? null : Object.fromEntries(settings.map(({ name, value }) => [name, value]));
}

function specsOf(values: Values, engine: 'vllm' | 'sim', runtime: 'docker' | 'process'): readonly LaunchSpec[] {
  const gpu = { index: 0, uuid: 'GPU-0', name: 'x', memoryTotalMiB: 143_771, memoryFreeMiB: 143_000 };
  // Parsed against exactly these definitions, as in a run.
  const settings = {
    ...values,
    VLLM_PORT: 8000,
    VLLM_BASELINE_PORT: 9000,
    LMCACHE_PORT: 6555,
    LMCACHE_HTTP_PORT: 8080,
  };
  return planLaunch(
    settings as unknown as CommonSettings & LaunchSettings,
    { buildId: String(values['BUILD_ID']), engine, workspace: '/app', runtime },
    { image: 'image', gpus: engine === 'sim' ? null : [gpu, { ...gpu, index: 1, uuid: 'GPU-1' }] },
  );
}

/** Options by themselves: what a parser would take for a flag. */
const flagsOf = (args: readonly string[]) => args.filter((argument) => argument.startsWith('-'));

describe('a hostile value of any setting', () => {
  it('is refused, or adds no argument and no option to what an engine is started with', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        hostile,
        fc.constantFrom<'vllm' | 'sim'>('vllm', 'sim'),
        fc.constantFrom<'docker' | 'process'>('docker', 'process'),
        (name, text, engine, runtime) => {
          const values = parsed({ [name]: text });
          if (values === null) return;
          const sound = parsed(optional[name] === undefined ? {} : { [name]: optional[name] });
          if (sound === null) throw new Error('the defaults are refused');
          const launch = values['LMCACHE_LAUNCH'] ?? null;
          const expected = specsOf({ ...sound, LMCACHE_LAUNCH: launch }, engine, runtime);
          const specs = specsOf(values, engine, runtime);
          for (const [index, spec] of specs.entries()) {
            expect(flagsOf(spec.args)).toEqual(flagsOf(expected[index]?.args ?? []));
            expect(spec.args).toHaveLength(expected[index]?.args.length ?? -1);
            expect(spec.command).toEqual(expected[index]?.command);
            for (const part of [...spec.args, ...Object.entries(spec.environment).flat()])
              expect(part).not.toContain('\0');
            for (const variable of Object.keys(spec.environment)) expect(variable).toMatch(/^[A-Z][A-Z0-9_]*$/);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('becomes one mount, or is refused where a bind mount cannot express it', () => {
    fc.assert(
      fc.property(fc.constantFrom('HF_HOME', 'HF_TOKEN_PATH', 'MODEL'), hostile, (name, text) => {
        const values = parsed({ [name]: name === 'MODEL' ? `/models/${text}` : text });
        if (values === null) return;
        for (const spec of specsOf(values, 'vllm', 'docker')) {
          try {
            const { HostConfig, Env, Cmd } = createRequest(spec, {});
            expect(HostConfig.Binds).toHaveLength(spec.container.mounts.length);
            for (const bind of HostConfig.Binds) expect(bind).toMatch(/^\/[^:]*:\/[^:]*(:ro)?$/s);
            expect(Env).toHaveLength(Object.keys(spec.environment).length);
            expect(Cmd).toEqual(spec.args);
          } catch (error) {
            if (!(error instanceof DockerError)) throw error;
            expect(error.kind).toBe('bad-mount');
          }
        }
      }),
    );
  });
});

describe("a hostile model's name", () => {
  const accepted = hostile.filter((text) => parsed({ MODEL: text }) !== null);

  it("stays one value in lm_eval's list of model arguments", () => {
    fc.assert(
      fc.property(accepted, (model) => {
        const args = lmEvalArguments({
          ...{ task: 'gsm8k', taskDirectory: '/t', model, baseUrl: 'http://127.0.0.1:8000' },
          ...{ concurrency: 1, limit: 1, outputPath: '/o', requestTimeoutSeconds: 60 },
        });
        const text = args[args.indexOf('--model_args') + 1] ?? '';
        const read: unknown = text.startsWith('{')
          ? JSON.parse(text)
          : Object.fromEntries(text.split(',').map((pair) => pair.split('=')));
        expect(read).toMatchObject({ model, base_url: 'http://127.0.0.1:8000/v1/completions' });
        expect(Object.keys(read ?? {})).toHaveLength(7);
      }),
    );
  });

  it("stays one argument of vLLM's own client", () => {
    fc.assert(
      fc.property(accepted, (model) => {
        const argumentsFor = (name: string) =>
          benchArguments({
            target: { baseUrl: 'http://127.0.0.1:8000', model: name, maxModelLen: null },
            settings: { RANDOM_INPUT_LEN: 1, RANDOM_OUTPUT_LEN: 1 },
            ...{ prompts: 1, seed: 1, directory: '/d', file: 'f' },
          });
        const expected = argumentsFor('Qwen/Qwen3-14B').map((part) => (part === 'Qwen/Qwen3-14B' ? model : part));
        expect(argumentsFor(model)).toEqual(expected);
      }),
    );
  });

  it('arrives in a real process exactly as it was given', async () => {
    const models = fc.sample(accepted, { numRuns: 8, seed: 4711 });
    const directory = temporaryDirectory();
    const script = 'console.log(JSON.stringify(process.argv.slice(1)))';
    for (const [index, model] of models.entries()) {
      const values = parsed({ MODEL: model });
      const planned = values ? specsOf(values, 'sim', 'process')[1] : undefined;
      if (!planned) throw new Error('no vLLM was planned');
      const logPath = path.join(directory, `${index}.log`);
      const spec = { ...(await fakeSpec('vllm')), args: planned.args, command: [process.execPath, '-e', script, '--'] };
      await (await createProcessRuntime().start(spec, logPath, {})).exited;
      expect(JSON.parse(readFileSync(logPath, 'utf8'))).toEqual(planned.args);
    }
  });
});
