import { z } from 'zod';
import type { AllowedTexts, KeyPlaces } from './check-source.js';

/** What each key of a sweep's YAML file may hold, in the words of its errors and of the JSON Schema. */
export const allowedInSweepFile = {
  model_name: 'the name of a registered model (lmcache-ci models)',
  tag: 'a text without "/", at most 100 characters',
  log_base_dir: 'the directory that gets a directory of results a sweep',
  defaults: 'a mapping with values for what the data sets below it do not say',
  experiments: 'a mapping with datasets, or a list of such mappings',
  datasets: 'a list of at least one data set, each a mapping with a path',
  path: 'the file of the data set, relative to this file or to the working directory',
  format: 'the name of a data set reader',
  cache_sizes: 'at least one number of GB above 0, no number twice',
  request_rates: 'at least one number of requests a second above 0, no number twice',
  num_prompts: 'a whole number of prompts from 1',
  time_limit: 'a number of seconds above 0, at most 604800',
  use_conversation_evictions: 'true, false or a list of both',
  conversation_eviction_config: "a mapping that is passed to LMCache's conversation-aware eviction",
  mock_decoding: 'true or false',
} as const satisfies AllowedTexts;

type Key = keyof typeof allowedInSweepFile;

const atTop = 'at the top of the document';
const asParameter = 'under defaults, or with a data set';
/** Where each key stands, in the words of its errors. */
export const placesInSweepFile = {
  model_name: atTop,
  tag: atTop,
  log_base_dir: atTop,
  defaults: `${atTop}, or beside datasets`,
  experiments: atTop,
  datasets: 'under experiments',
  path: 'with a data set',
  format: asParameter,
  cache_sizes: asParameter,
  request_rates: asParameter,
  num_prompts: asParameter,
  time_limit: asParameter,
  use_conversation_evictions: asParameter,
  conversation_eviction_config: asParameter,
  mock_decoding: asParameter,
} as const satisfies KeyPlaces & Record<Key, string>;

const words = {
  true: ['yes', 'on', 'Yes', 'On', 'YES', 'ON'],
  false: ['no', 'off', 'No', 'Off', 'NO', 'OFF'],
} as const;
/** YAML 1.1, which upstream reads, has more words for booleans. */
const truth = z
  .union([z.boolean(), z.enum([...words.true, ...words.false])])
  .transform((value) => (typeof value === 'boolean' ? value : (words.true as readonly string[]).includes(value)));

const text = (most: number) => z.string().min(1).max(most);
const size = z.number().positive().max(1e6);
const rate = z.number().positive().max(1e5);

function oneOrMore<Item>(item: z.ZodType<Item>) {
  const list = z
    .array(item)
    .min(1)
    .superRefine((values, context) => {
      for (const [index, value] of values.entries()) {
        if (values.indexOf(value) === index) continue;
        context.addIssue({ code: 'custom', path: [index], message: 'each value once: it stands in the list already' });
      }
    });
  return z.union([list, item.transform((value) => [value])]);
}

function described<Type extends z.ZodType>(key: Key, schema: Type) {
  return schema.describe(allowedInSweepFile[key]);
}

/** What may stand in `defaults` and with each data set. */
const parameters = {
  format: described('format', text(100)).optional(),
  cache_sizes: described('cache_sizes', oneOrMore(size)).optional(),
  request_rates: described('request_rates', oneOrMore(rate)).optional(),
  num_prompts: described('num_prompts', z.int().min(1).max(1e9)).optional(),
  time_limit: described('time_limit', z.number().positive().max(604_800)).optional(),
  use_conversation_evictions: described('use_conversation_evictions', oneOrMore(truth)).optional(),
  conversation_eviction_config: described('conversation_eviction_config', z.record(z.string(), z.json())).nullish(),
  mock_decoding: described('mock_decoding', truth).optional(),
};

const defaultsSchema = described('defaults', z.strictObject(parameters)).nullish();
const datasetSchema = z.strictObject({ path: described('path', text(4096)), ...parameters });
const experimentSchema = z.strictObject({
  defaults: defaultsSchema,
  datasets: described('datasets', z.array(datasetSchema).min(1)),
});

/** One document of a sweep's YAML file, as the original runner knows it; `format` is ours. */
export const sweepFileSchema = z.strictObject({
  model_name: described('model_name', text(200)).default('llama-8b'),
  tag: described(
    'tag',
    z.union([text(100).regex(/^(?!\.\.?$)[^/\u0000-\u001f]+$/), z.number().transform(String)]).default('experiment'),
  ),
  log_base_dir: described('log_base_dir', text(4096)).default('logs'),
  defaults: defaultsSchema,
  experiments: described('experiments', z.union([experimentSchema, z.array(experimentSchema).min(1)])),
});
export type SweepFile = z.infer<typeof sweepFileSchema>;
export type SweepFileDataset = z.infer<typeof datasetSchema>;
export type SweepFileParameters = NonNullable<z.infer<typeof defaultsSchema>>;

/** The JSON Schema (draft 2020-12) of one document, for editors. */
export function sweepJsonSchema(): string {
  const { $schema, ...rest } = z.toJSONSchema(sweepFileSchema, { io: 'input' });
  const head = { $schema, title: 'A sweep of lmcache-ci: one document of its YAML file' };
  return `${JSON.stringify({ ...head, ...rest }, null, 2)}\n`;
}
