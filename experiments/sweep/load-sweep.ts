import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { standIns } from '../../workloads/traces/generate-conversations.js';
import { checkSource, quoted } from './check-source.js';
import { type ModelRegistry, UnknownNameError } from './model-registry.js';
import { SourceError, type SourceProblem } from './source-problem.js';
import {
  allowedInSweepFile,
  placesInSweepFile,
  type SweepFile,
  type SweepFileDataset,
  type SweepFileParameters,
  sweepFileSchema,
} from './sweep-file-schema.js';
import { mostYamlBytes, parseYamlSource, type SourcePath, tooLarge, type YamlDocument } from './yaml-source.js';

/** A data set with every parameter decided. */
export interface SweptDataset {
  /** As it stands in the file. */
  readonly path: string;
  /** Absolute. */
  readonly file: string;
  /** Where the sweep's file names it; null: the demo's. */
  readonly place: { readonly line: number; readonly column: number } | null;
  /** null: told by the data set's content. */
  readonly format: string | null;
  readonly cacheSizesGb: readonly number[];
  readonly requestRates: readonly number[];
  readonly conversationEvictions: readonly boolean[];
  readonly conversationEvictionConfig: Readonly<Record<string, unknown>> | null;
  readonly numPrompts: number;
  readonly timeLimitSeconds: number;
  readonly mockDecoding: boolean;
}

/** One document of a sweep's YAML file. */
export interface SweepDefinition {
  /** null: the demo. */
  readonly file: string | null;
  /** From 1. */
  readonly document: number;
  readonly tag: string;
  readonly logBaseDir: string;
  readonly modelName: string;
  readonly datasets: readonly SweptDataset[];
}

/** What upstream's runner takes where the file says nothing. */
export const sweepDefaults = {
  cacheSizesGb: [64],
  requestRates: [1],
  conversationEvictions: [false],
  numPrompts: 30_000,
  timeLimitSeconds: 1200,
  mockDecoding: false,
} as const;

/** More is a typing error: a year on eight GPUs. */
const mostExperiments = 10_000;

export interface LoadOptions {
  readonly registry: ModelRegistry;
  /** Names of data set readers, for `format`. */
  readonly formats: readonly string[];
  /** Default: the process's. */
  readonly workingDirectory?: string;
}

/**
 * Reads all documents of a sweep's YAML file.
 * @throws SourceError with all that is wrong in it, each with its place.
 */
export function loadSweepFile(file: string, options: LoadOptions): readonly SweepDefinition[] {
  return parseSweep(file, readSource(file), options);
}

/** As `loadSweepFile`, of a text. @param file its name, for messages and for relative paths in it */
export function parseSweep(file: string, text: string, options: LoadOptions): readonly SweepDefinition[] {
  const definitions: SweepDefinition[] = [];
  const problems: SourceProblem[] = [];
  for (const [index, document] of parseYamlSource(file, text).entries()) {
    const checked = checkSource(document, sweepFileSchema, allowedInSweepFile, placesInSweepFile);
    const found = new Document(file, document, options, problems);
    if (checked.ok) definitions.push(found.define(checked.value, index + 1));
    else {
      problems.push(...checked.problems);
      found.checkModelAsWritten();
    }
  }
  if (problems.length === 0 && definitions.length === 0) {
    problems.push({
      line: 1,
      column: 1,
      message: 'the file holds no document; allowed: at least one with experiments',
    });
  }
  if (problems.length > 0) throw new SourceError(file, problems);
  return definitions;
}

/** The text of a file that a person wrote. @throws SourceError where it cannot be read, or is too large to be one. */
export function readSource(file: string): string {
  const refuse = (message: string) => new SourceError(file, [{ line: 1, column: 1, message }]);
  try {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats === undefined) throw refuse('the file does not exist');
    if (!stats.isFile()) throw refuse(`"${file}" is no file`);
    if (stats.size > mostYamlBytes) throw new SourceError(file, [tooLarge(stats.size)]);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof SourceError) throw error;
    throw refuse(`the file cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

class Document {
  readonly #file: string;
  readonly #document: YamlDocument;
  readonly #options: LoadOptions;
  readonly #problems: SourceProblem[];

  constructor(file: string, document: YamlDocument, options: LoadOptions, problems: SourceProblem[]) {
    this.#file = file;
    this.#document = document;
    this.#options = options;
    this.#problems = problems;
  }

  define(sweep: SweepFile, index: number): SweepDefinition {
    this.#checkModel(sweep.model_name);
    const isList = Array.isArray(sweep.experiments);
    const experiments = Array.isArray(sweep.experiments) ? sweep.experiments : [sweep.experiments];
    const datasets = experiments.flatMap((experiment, at) => {
      const where: SourcePath = isList ? ['experiments', at] : ['experiments'];
      const defaults = { ...sweep.defaults, ...experiment.defaults };
      return experiment.datasets.map((dataset, place) =>
        this.#dataset(dataset, defaults, [...where, 'datasets', place]),
      );
    });
    const count = datasets.reduce((sum, dataset) => sum + sizeOf(dataset), 0);
    if (count > mostExperiments) {
      this.#complain(['experiments'], `they are ${count} experiments; allowed: at most ${mostExperiments}`);
    }
    const { tag, log_base_dir: logBaseDir, model_name: modelName } = sweep;
    return { file: this.#file, document: index, tag, logBaseDir, modelName, datasets };
  }

  /** Of a document that is not sound otherwise, so that all is said at once. */
  checkModelAsWritten(): void {
    const { value } = this.#document;
    const name = typeof value === 'object' && value !== null && 'model_name' in value ? value.model_name : null;
    if (typeof name === 'string' && name !== '') this.#checkModel(name);
  }

  #checkModel(name: string): void {
    try {
      this.#options.registry.model(name);
    } catch (error) {
      if (!(error instanceof UnknownNameError)) throw error;
      this.#complain(['model_name'], `model_name: ${error.message}`);
    }
  }

  #dataset(dataset: SweepFileDataset, defaults: SweepFileParameters, where: SourcePath): SweptDataset {
    const given = { ...defaults, ...withoutUndefined(dataset) };
    const format = given.format ?? null;
    const { formats } = this.#options;
    if (format !== null && !formats.includes(format)) {
      this.#complain([...where, 'format'], `format is ${quoted(format)}; allowed: ${formats.join(', ')}`);
    }
    return {
      path: dataset.path,
      file: this.#findFile(dataset.path, [...where, 'path']),
      place: this.#document.problemAt([...where, 'path'], ''),
      format,
      cacheSizesGb: given.cache_sizes ?? sweepDefaults.cacheSizesGb,
      requestRates: given.request_rates ?? sweepDefaults.requestRates,
      conversationEvictions: given.use_conversation_evictions ?? sweepDefaults.conversationEvictions,
      conversationEvictionConfig: given.conversation_eviction_config ?? null,
      numPrompts: given.num_prompts ?? sweepDefaults.numPrompts,
      timeLimitSeconds: given.time_limit ?? sweepDefaults.timeLimitSeconds,
      mockDecoding: given.mock_decoding ?? sweepDefaults.mockDecoding,
    };
  }

  /** Beside the YAML file, else from the working directory. */
  #findFile(given: string, where: SourcePath): string {
    const workingDirectory = this.#options.workingDirectory ?? process.cwd();
    const tried = [
      ...new Set([
        path.resolve(workingDirectory, path.dirname(this.#file), given),
        path.resolve(workingDirectory, given),
      ]),
    ];
    const found = tried.find((file) => isReadableFile(file));
    if (found !== undefined) return found;
    const places = tried.map((file) => `"${file}"`).join(' and ');
    const [beside = given] = tried;
    const name = path.basename(given, '.csv');
    // Of the original runner's data sets, which nobody has.
    const remedy = Object.hasOwn(standIns, name)
      ? `; a stand-in is made by: lmcache-ci traces generate ${JSON.stringify(beside)} --like ${name}`
      : '';
    this.#complain(where, `path is ${quoted(given)}, and there is no such file; tried: ${places}${remedy}`);
    return beside;
  }

  #complain(where: SourcePath, message: string): void {
    this.#problems.push(this.#document.problemAt(where, message));
  }
}

function isReadableFile(file: string): boolean {
  try {
    return existsSync(file) && statSync(file).isFile();
  } catch {
    return false;
  }
}

function sizeOf({ cacheSizesGb, requestRates, conversationEvictions }: SweptDataset): number {
  return cacheSizesGb.length * requestRates.length * conversationEvictions.length;
}

/** What a data set leaves out must not hide a default. */
function withoutUndefined<Value extends object>(value: Value): Partial<Value> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Partial<Value>;
}
