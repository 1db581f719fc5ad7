import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import type { PromptTokenizer } from './prompt-tokenizer.js';

const TOKEN_NAMES = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;
/** Timers and sockets get their turn this often. */
const YIELD_AFTER_MS = 10;

const specialToken = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .catch(null);
const configSchema = z.looseObject({
  bos_token: specialToken,
  eos_token: specialToken,
  unk_token: specialToken,
  sep_token: specialToken,
  pad_token: specialToken,
  cls_token: specialToken,
  mask_token: specialToken,
  additional_special_tokens: z.array(specialToken).nullish().catch(null),
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish()
    .catch(null),
});
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.number().int() })).nullish(),
  model: z.looseObject({ vocab: z.union([z.record(z.string(), z.number()), z.array(z.unknown())]) }),
});

/**
 * The directory of a model's tokenizer in the Hugging Face cache (`hub/models--owner--name/snapshots/<revision>`), the
 * revision that `refs/main` names first; null when it is not there. A model that is itself a directory is that.
 * @param hfHome HF_HOME; default `$HF_HOME`, else ~/.cache/huggingface
 */
export async function findLocalTokenizer(model: string, hfHome?: string): Promise<string | null> {
  if (await isFile(join(model, 'tokenizer.json'))) {
    return model;
  }
  const home = hfHome ?? process.env['HF_HOME'] ?? join(homedir(), '.cache', 'huggingface');
  const repository = join(home, 'hub', `models--${model.replaceAll('/', '--')}`);
  const main = await readFile(join(repository, 'refs', 'main'), 'utf8').catch(() => null);
  const snapshots = await readdir(join(repository, 'snapshots')).catch(() => []);
  const revisions = main === null ? snapshots.sort() : [main.trim(), ...snapshots.sort()];
  for (const revision of revisions) {
    const directory = join(repository, 'snapshots', revision);
    if (await isFile(join(directory, 'tokenizer.json'))) {
      return directory;
    }
  }
  return null;
}

/**
 * A tokenizer from `tokenizer.json` and `tokenizer_config.json`; nothing is downloaded.
 * @param path the directory of both, or the first of them under whatever name
 * @throws Error naming the file that cannot be read or is none.
 */
export async function loadLocalTokenizer(path: string): Promise<PromptTokenizer> {
  const isDirectory = !(await isFile(path));
  const directory = isDirectory ? path : dirname(path);
  const files = await readJson(isDirectory ? join(path, 'tokenizer.json') : path, tokenizerSchema);
  const configPath = join(directory, 'tokenizer_config.json');
  const config = (await isFile(configPath)) ? await readJson(configPath, configSchema) : configSchema.parse({});
  const tokenizer = new Tokenizer(files, config);
  const template = await chatTemplate(directory, config);
  const { vocab } = files.model;
  const vocabSize = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  const encode = (text: string, addSpecialTokens: boolean): number[] =>
    text === '' ? [] : tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  let yieldAt = 0;
  const makeRoom = async (): Promise<void> => {
    if (performance.now() >= yieldAt) {
      await nextTurn();
      yieldAt = performance.now() + YIELD_AFTER_MS;
    }
  };
  return {
    name: path,
    vocabSize,
    specialIds: specialIdsOf(tokenizer, config),
    addedIds: (files.added_tokens ?? []).map(({ id }) => id),
    addedTokens: encode('a', true).length - encode('a', false).length,
    concurrency: 1,
    decode: async (ids) => {
      await makeRoom();
      return ids.length === 0
        ? ''
        : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    },
    encode: async (text) => {
      await makeRoom();
      return encode(text, false);
    },
    ...(template === null
      ? {}
      : {
          renderChat: (message: string, variables: Readonly<Record<string, unknown>>) =>
            template.render({
              ...namedTokens(config),
              messages: [{ role: 'user', content: message }],
              tools: null,
              documents: null,
              add_generation_prompt: true,
              ...variables,
            }),
        }),
    close: async () => undefined,
  };
}

async function chatTemplate(directory: string, config: z.infer<typeof configSchema>): Promise<Template | null> {
  const inFile = await readFile(join(directory, 'chat_template.jinja'), 'utf8').catch(() => null);
  const named = config.chat_template ?? null;
  const text =
    inFile ?? (Array.isArray(named) ? (named.find(({ name }) => name === 'default')?.template ?? null) : named);
  return text === null ? null : new Template(text);
}

/** `bos_token`, `eos_token`, ... as chat templates know them. */
function namedTokens(config: z.infer<typeof configSchema>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of TOKEN_NAMES) {
    const token = config[name];
    const text = typeof token === 'string' ? token : token?.content;
    if (text !== undefined) {
      tokens[name] = text;
    }
  }
  return tokens;
}

/** `all_special_ids` of transformers: the named tokens of the configuration. */
function specialIdsOf(tokenizer: Tokenizer, config: z.infer<typeof configSchema>): Set<number> {
  const named = [...TOKEN_NAMES.map((name) => config[name]), ...(config.additional_special_tokens ?? [])];
  const ids = new Set<number>();
  for (const token of named) {
    const text = typeof token === 'string' ? token : token?.content;
    const id = text === undefined ? undefined : tokenizer.token_to_id(text);
    if (id !== undefined) {
      ids.add(id);
    }
  }
  return ids;
}

async function readJson<Value>(path: string, schema: z.ZodType<Value>): Promise<Value> {
  const text = await readFile(path, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`"${path}" is no JSON: ${String(error)}`);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    throw new Error(`"${path}" is no tokenizer file: ${z.prettifyError(result.error)}`);
  }
  return result.data;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}
