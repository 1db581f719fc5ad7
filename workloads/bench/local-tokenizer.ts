import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { ByteLevelBpe } from './byte-level/byte-level-bpe.js';
import { readByteLevelFile, type VocabularyEntries } from './byte-level/byte-level-file.js';
import type { PromptTokenizer, Reencoding } from './prompt-tokenizer.js';

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
  added_tokens: z.array(z.looseObject({ id: z.number().int(), content: z.string() })).nullish(),
  model: z.looseObject({ vocab: z.union([z.custom<Record<string, number>>(isRecord), z.array(z.unknown())]) }),
});

type TokenizerFiles = z.infer<typeof tokenizerSchema>;
type TokenizerConfig = z.infer<typeof configSchema>;

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
  const { vocab } = files.model;
  // Once: with 150,000 tokens every look at all of them takes a tenth of a second.
  const tokens = Array.isArray(vocab) ? null : vocabularyEntries(vocab, path);
  const engine = openEngine(files, config, tokens);
  const template = await chatTemplate(directory, config);
  let compiled: Template | null = null;
  let yieldAt = 0;
  const makeRoom = async (): Promise<void> => {
    if (performance.now() >= yieldAt) {
      await nextTurn();
      yieldAt = performance.now() + YIELD_AFTER_MS;
    }
  };
  return {
    name: path,
    vocabSize: Array.isArray(vocab) ? vocab.length : (tokens?.length ?? 0),
    specialIds: specialIdsOf(files, config),
    addedIds: (files.added_tokens ?? []).map(({ id }) => id),
    addedTokens: countAddedTokens(files, config),
    concurrency: 1,
    decode: async (ids) => {
      await makeRoom();
      return engine.decode(ids);
    },
    encode: async (text) => {
      await makeRoom();
      return engine.encode(text);
    },
    direct: {
      reencode: async (ids, stable) => {
        await makeRoom();
        return engine.reencode(ids, stable);
      },
      decodeToJson: async (ids) => {
        await makeRoom();
        return engine.decodeToJson(ids);
      },
    },
    ...(template === null
      ? {}
      : {
          renderChat: async (message: string, variables: Readonly<Record<string, unknown>>) => {
            const { Template } = await import('@huggingface/jinja');
            compiled ??= new Template(template);
            return compiled.render({
              ...namedTokens(config),
              messages: [{ role: 'user', content: message }],
              tools: null,
              documents: null,
              add_generation_prompt: true,
              ...variables,
            });
          },
        }),
    close: async () => undefined,
  };
}

async function chatTemplate(directory: string, config: TokenizerConfig): Promise<string | null> {
  const inFile = await readFile(join(directory, 'chat_template.jinja'), 'utf8').catch(() => null);
  const named = config.chat_template ?? null;
  return inFile ?? (Array.isArray(named) ? (named.find(({ name }) => name === 'default')?.template ?? null) : named);
}

/** `bos_token`, `eos_token`, ... as chat templates know them. */
function namedTokens(config: TokenizerConfig): Record<string, string> {
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

interface Engine {
  decode(ids: readonly number[]): string;
  /** The text of `decode` as a JSON string in UTF-8. */
  decodeToJson(ids: readonly number[]): Buffer;
  /** Without special tokens around the text. */
  encode(text: string): number[];
  /** As in DirectTokenizer. */
  reencode(ids: number[], stable: number): Reencoding;
}

/** The fast one where it can read the file, else the library. */
function openEngine(files: TokenizerFiles, config: TokenizerConfig, tokens: VocabularyEntries | null): Engine {
  const byteLevel = tokens === null ? null : readByteLevelFile(files, config, tokens);
  const fast = byteLevel === null ? null : ByteLevelBpe.from(byteLevel);
  if (fast !== null) {
    return fast;
  }
  const tokenizer = new Tokenizer(files, config);
  const decode = (ids: readonly number[]): string =>
    ids.length === 0
      ? ''
      : tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  const encode = (text: string): number[] =>
    text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids;
  return {
    decode,
    encode,
    decodeToJson: (ids) => Buffer.from(JSON.stringify(decode(ids))),
    reencode: (ids) => {
      const replaced = [...ids];
      ids.length = 0;
      for (const id of encode(decode(replaced))) {
        ids.push(id);
      }
      return { kept: 0, replaced };
    },
  };
}

/** How many tokens are put around a text. The vocabulary has no part in it: a large one is not worth loading twice. */
function countAddedTokens(files: TokenizerFiles, config: TokenizerConfig): number {
  const isBpe = !Array.isArray(files.model.vocab) && Array.isArray(files.model['merges']);
  const model = isBpe ? { ...files.model, vocab: { a: 0 }, merges: [] } : files.model;
  const tokenizer = new Tokenizer({ ...files, model }, config);
  const count = (addSpecialTokens: boolean): number =>
    tokenizer.encode('a', { add_special_tokens: addSpecialTokens }).ids.length;
  return count(true) - count(false);
}

/** `all_special_ids` of transformers: the named tokens of the configuration. */
function specialIdsOf(files: TokenizerFiles, config: TokenizerConfig): Set<number> {
  const { vocab } = files.model;
  const added = new Map((files.added_tokens ?? []).map(({ id, content }) => [content, id]));
  const idOf = (token: string): number => {
    if (added.has(token)) {
      return added.get(token) ?? -1;
    }
    return Array.isArray(vocab)
      ? vocab.findIndex((entry) => Array.isArray(entry) && entry[0] === token)
      : (vocab[token] ?? -1);
  };
  const named = [...TOKEN_NAMES.map((name) => config[name]), ...(config.additional_special_tokens ?? [])];
  const ids = new Set<number>();
  for (const token of named) {
    const text = typeof token === 'string' ? token : token?.content;
    const id = text === undefined ? -1 : idOf(text);
    if (id >= 0) {
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

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws Error for a token whose id is no whole number */
function vocabularyEntries(vocabulary: Readonly<Record<string, number>>, path: string): VocabularyEntries {
  const entries = Object.entries(vocabulary);
  for (const [token, id] of entries) {
    if (!Number.isInteger(id)) {
      throw new Error(`"${path}" is no tokenizer file: the token "${token}" has the id "${id}".`);
    }
  }
  return entries;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}
