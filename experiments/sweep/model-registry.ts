import type { DatasetReader } from './dataset-reader.js';
import { parseShellPrefix } from './shell-prefix.js';

/** A model that sweeps can name. */
export interface ModelSpec {
  readonly name: string;
  /** On the Hugging Face Hub. */
  readonly huggingfacePath: string;
  readonly tensorParallelSize: number;
  readonly pipelineParallelSize: number;
  /** Tokens. */
  readonly maxModelLength: number;
}

/** Where and how servers are started. */
export interface EnvironmentSettings {
  readonly name: string;
  /** Users for whom it is chosen without being asked for. */
  readonly users: readonly string[];
  /** `A=1 B=2 `: variables of every server. */
  readonly shellCommandPrefix: string;
  /** Matches the line of the server's log that says that it serves. */
  readonly serverReadyPattern: string;
}

/** How a model, an environment or a path was asked for and is not there. */
export class UnknownNameError extends Error {
  override readonly name = 'UnknownNameError';
}

/** Models, environments, the models' paths there, and readers of data sets. Names are unique; a later registration replaces an earlier one. */
export class ModelRegistry {
  readonly #models = new Map<string, ModelSpec>();
  readonly #environments = new Map<string, EnvironmentSettings>();
  readonly #paths = new Map<string, Map<string, string>>();
  readonly #readers = new Map<string, DatasetReader>();

  registerModel(model: ModelSpec): void {
    this.#models.set(model.name, model);
  }

  /** @throws ShellPrefixError, SyntaxError for a pattern that is none. */
  registerEnvironment(environment: EnvironmentSettings): void {
    parseShellPrefix(environment.shellCommandPrefix);
    new RegExp(environment.serverReadyPattern);
    this.#environments.set(environment.name, environment);
  }

  /** Where a model's weights lie in one environment; elsewhere its Hugging Face path is used. */
  registerEnvironmentPath(environment: string, model: string, path: string): void {
    const paths = this.#paths.get(environment) ?? new Map<string, string>();
    this.#paths.set(environment, paths.set(model, path));
  }

  /** A form of data sets, for `format` in a sweep's file. */
  registerDatasetReader(format: string, reader: DatasetReader): void {
    this.#readers.set(format, reader);
  }

  /** null for the forms that the package reads itself. */
  datasetReader(format: string): DatasetReader | null {
    return this.#readers.get(format) ?? null;
  }

  get datasetFormats(): readonly string[] {
    return [...this.#readers.keys()];
  }

  get models(): readonly ModelSpec[] {
    return [...this.#models.values()];
  }

  get environments(): readonly EnvironmentSettings[] {
    return [...this.#environments.values()];
  }

  /** @throws UnknownNameError listing the near names first. */
  model(name: string): ModelSpec {
    const model = this.#models.get(name);
    if (model) return model;
    throw new UnknownNameError(unknownName('model', name, [...this.#models.keys()]));
  }

  /** @throws UnknownNameError */
  environment(name: string): EnvironmentSettings {
    const environment = this.#environments.get(name);
    if (environment) return environment;
    throw new UnknownNameError(unknownName('environment', name, [...this.#environments.keys()]));
  }

  /** What `vllm serve` is given for this model. */
  modelPath(model: string, environment: string): string {
    return this.#paths.get(environment)?.get(model) ?? this.model(model).huggingfacePath;
  }

  /** Paths of one model by environment. */
  pathsOf(model: string): Readonly<Record<string, string>> {
    const paths = [...this.#paths].flatMap(([environment, byModel]) => {
      const path = byModel.get(model);
      return path === undefined ? [] : [[environment, path] as const];
    });
    return Object.fromEntries(paths);
  }
}

/** GPUs that one experiment with this model takes. */
export function gpusOf(model: Pick<ModelSpec, 'tensorParallelSize' | 'pipelineParallelSize'>): number {
  return model.tensorParallelSize * model.pipelineParallelSize;
}

function unknownName(kind: string, name: string, known: readonly string[]): string {
  const near = nearNames(name, known);
  const hint = near.length === 0 ? '' : `; near: ${near.join(', ')}`;
  return `${kind} "${name}" is unknown${hint}; known: ${known.join(', ')}`;
}

/** Names that share most of their letter pairs with the wanted one (Dice's coefficient), the nearest first. */
export function nearNames(wanted: string, known: readonly string[]): string[] {
  const scored = known.map((name) => ({ name, score: similarity(wanted.toLowerCase(), name.toLowerCase()) }));
  const near = scored.filter(({ score }) => score >= 0.4).sort((a, b) => b.score - a.score);
  return near.slice(0, 3).map(({ name }) => name);
}

function similarity(a: string, b: string): number {
  const left = pairsOf(a);
  const right = pairsOf(b);
  const shared = [...left].filter((pair) => right.has(pair)).length;
  return left.size + right.size === 0 ? 0 : (2 * shared) / (left.size + right.size);
}

function pairsOf(text: string): Set<string> {
  return new Set(Array.from({ length: Math.max(0, text.length - 1) }, (_, at) => text.slice(at, at + 2)));
}
