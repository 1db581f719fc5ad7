import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { type AllowedTexts, checkSource, type KeyPlaces } from './check-source.js';
import { readSource } from './load-sweep.js';
import type { ModelRegistry } from './model-registry.js';
import { parseShellPrefix, ShellPrefixError } from './shell-prefix.js';
import { SourceError, type SourceProblem } from './source-problem.js';
import { parseYamlSource } from './yaml-source.js';

/** Looked for beside the sweep's YAML file and in the working directory. */
export const registryFileNames: readonly string[] = ['lmcache-ci.models.yaml', 'lmcache-ci.models.ts'];

const allowed = {
  models: 'a list of models, each with name and huggingface_path',
  environments: 'a list of environments, each with a name',
  name: 'a text',
  huggingface_path: "the model's name on the Hugging Face Hub, or a directory",
  tensor_parallel_size: 'a whole number from 1',
  pipeline_parallel_size: 'a whole number from 1',
  max_model_length: 'a whole number of tokens from 1',
  environment_paths: 'a mapping from environments to directories',
  users: 'a list of user names',
  shell_command_prefix: 'NAME=value pairs with blanks between them; no shell runs them',
  server_ready_pattern: 'a regular expression that matches a line of the server log',
} as const satisfies AllowedTexts;

const withModel = 'with a model';
const withEnvironment = 'with an environment';
const places = {
  models: 'at the top',
  environments: 'at the top',
  name: 'with a model or an environment',
  huggingface_path: withModel,
  tensor_parallel_size: withModel,
  pipeline_parallel_size: withModel,
  max_model_length: withModel,
  environment_paths: withModel,
  users: withEnvironment,
  shell_command_prefix: withEnvironment,
  server_ready_pattern: withEnvironment,
} as const satisfies Record<keyof typeof allowed, string> & KeyPlaces;

const text = z.string().min(1).max(4096);
const count = z.int().min(1).max(1e7);

const modelSchema = z.strictObject({
  name: text,
  huggingface_path: text,
  tensor_parallel_size: count.default(1),
  pipeline_parallel_size: count.default(1),
  max_model_length: count.default(16_384),
  environment_paths: z.record(text, text).default({}),
});

const environmentSchema = z.strictObject({
  name: text,
  users: z.array(text).default([]),
  shell_command_prefix: z
    .string()
    .max(65_536)
    .default('')
    .superRefine((prefix, context) => {
      try {
        parseShellPrefix(prefix);
      } catch (error) {
        if (!(error instanceof ShellPrefixError)) throw error;
        context.addIssue({ code: 'custom', message: error.message });
      }
    }),
  server_ready_pattern: text.default('Application startup complete').refine(isPattern, 'a regular expression'),
});

const registryFileSchema = z.strictObject({
  models: z.array(modelSchema).default([]),
  environments: z.array(environmentSchema).default([]),
});

/** What a `.ts` or `.js` file exports by default. */
export type RegistryModule = (registry: ModelRegistry) => void | Promise<void>;

/**
 * The files to read: those asked for, else the ones that lie beside the sweep and in the working directory.
 * @param sweepDirectory null without a sweep file
 */
export function findRegistryFiles(asked: readonly string[], sweepDirectory: string | null): readonly string[] {
  if (asked.length > 0) return asked.map((file) => path.resolve(file));
  const directories = [process.cwd(), ...(sweepDirectory === null ? [] : [path.resolve(sweepDirectory)])];
  const files = [...new Set(directories)].flatMap((directory) =>
    registryFileNames.map((name) => path.join(directory, name)),
  );
  return files.filter((file) => existsSync(file));
}

/**
 * Adds what a file registers: models and environments as YAML data, or a module whose default export is a function
 * that gets the registry.
 * @throws SourceError with all that is wrong in it.
 */
export async function loadRegistryFile(file: string, registry: ModelRegistry): Promise<void> {
  if (/\.[cm]?[jt]s$/.test(file)) {
    await loadModule(file, registry);
    return;
  }
  const problems: SourceProblem[] = [];
  for (const document of parseYamlSource(file, readSource(file))) {
    if (document.value === null) continue;
    const checked = checkSource(document, registryFileSchema, allowed, places);
    if (checked.ok) register(checked.value, registry);
    else problems.push(...checked.problems);
  }
  if (problems.length > 0) throw new SourceError(file, problems);
}

function register(file: z.infer<typeof registryFileSchema>, registry: ModelRegistry): void {
  for (const environment of file.environments) {
    const { name, users, shell_command_prefix, server_ready_pattern } = environment;
    const settings = { shellCommandPrefix: shell_command_prefix, serverReadyPattern: server_ready_pattern };
    registry.registerEnvironment({ name, users, ...settings });
  }
  for (const model of file.models) {
    registry.registerModel({
      name: model.name,
      huggingfacePath: model.huggingface_path,
      tensorParallelSize: model.tensor_parallel_size,
      pipelineParallelSize: model.pipeline_parallel_size,
      maxModelLength: model.max_model_length,
    });
    for (const [environment, place] of Object.entries(model.environment_paths)) {
      registry.registerEnvironmentPath(environment, model.name, place);
    }
  }
}

async function loadModule(file: string, registry: ModelRegistry): Promise<void> {
  const refuse = (message: string) => new SourceError(file, [{ line: 1, column: 1, message }]);
  // Loaded only for users with such a file.
  const { createJiti } = await import('jiti');
  const jiti = createJiti(pathToFileURL(file).href, { fsCache: false, moduleCache: false });
  const exported: unknown = await jiti.import(file, { default: true }).catch((error: unknown) => {
    throw refuse(`the module cannot be loaded: ${error instanceof Error ? error.message : error}`);
  });
  if (typeof exported !== 'function') throw refuse('allowed: a default export that is a function of the registry');
  try {
    await exported(registry);
  } catch (error) {
    throw refuse(`its function failed: ${error instanceof Error ? error.message : error}`);
  }
}

function isPattern(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}
