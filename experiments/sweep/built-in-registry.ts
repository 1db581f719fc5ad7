import { ModelRegistry, type ModelSpec } from './model-registry.js';

/** The models that upstream's benchmark runner registers. */
const models: readonly ModelSpec[] = [
  model('qwen-0.5b', 'Qwen/Qwen2.5-0.5B-Instruct', { maxModelLength: 8192 }),
  model('qwen-8b', 'Qwen/Qwen3-8B-FP8'),
  model('llama-8b', 'meta-llama/Llama-3.1-8B-Instruct'),
  model('qwen-32b', 'Qwen/Qwen3-32B-FP8', { tensorParallelSize: 2 }),
  model('llama-70b', 'meta-llama/Llama-3.3-70B-Instruct', { pipelineParallelSize: 4 }),
];

/** The environment that is taken where no other one is asked for or made for the user. */
export const defaultEnvironment = 'LMCACHE';

/** A registry with what the package ships; users' files add to it. */
export function builtInRegistry(): ModelRegistry {
  const registry = new ModelRegistry();
  for (const spec of models) registry.registerModel(spec);
  registry.registerEnvironment({
    name: defaultEnvironment,
    users: [],
    shellCommandPrefix: 'LMCACHE_CHUNK_SIZE=256 LMCACHE_LOCAL_CPU=True ',
    serverReadyPattern: 'Application startup complete',
  });
  return registry;
}

function model(name: string, huggingfacePath: string, rest: Partial<ModelSpec> = {}): ModelSpec {
  return { name, huggingfacePath, tensorParallelSize: 1, pipelineParallelSize: 1, maxModelLength: 16_384, ...rest };
}
