import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { isRecord, type JsonObject } from '../json-value.js';
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

/** `tokenizer.json`, as far as it is looked at here. */
interface TokenizerFiles extends JsonObject {
  readonly added_tokens?: readonly { readonly id: number; readonly content: string }[] | null;
  readonly model: JsonObject & { readonly vocab: Readonly<Record<string, number>> | readonly unknown[] };
}

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
  const files = await readTokenizerFile(isDirectory ? join(path, 'tokenizer.json') : path);
  const configPath = join(directory, 'tokenizer_config.json');
  const config = (await isFile(configPath)) ? await readJsonObject(configPath) : {};
  const { vocab } = files.model;
  // Once: with 150,000 tokens every look at all of them takes a tenth of a second.
  const tokens = isList(vocab) ? null : vocabularyEntries(vocab, path);
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
    vocabSize: isList(vocab) ? vocab.length : (tokens?.length ?? 0),
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

async function chatTemplate(directory: string, config: JsonObject): Promise<string | null> {
  const inFile = await readFile(join(directory, 'chat_template.jinja'), 'utf8').catch(() => null);
  const named = config['chat_template'];
  const standard: unknown = Array.isArray(named)
    ? named.find((entry) => isRecord(entry) && entry['name'] === 'default')?.template
    : named;
  return inFile ?? (typeof standard === 'string' ? standard : null);
}

/** `bos_token`, `eos_token`, ... as chat templates know them. */
function namedTokens(config: JsonObject): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of TOKEN_NAMES) {
    const text = textOf(config[name]);
    if (text !== null) {
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
function openEngine(files: TokenizerFiles, config: JsonObject, tokens: VocabularyEntries | null): Engine {
  const { vocab } = files.model;
  const byteLevel = tokens === null || isList(vocab) ? null : readByteLevelFile(files, config, vocab, tokens);
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
function countAddedTokens(files: TokenizerFiles, config: JsonObject): number {
  const isBpe = !isList(files.model.vocab) && Array.isArray(files.model['merges']);
  const model = isBpe ? { ...files.model, vocab: { a: 0 }, merges: [] } : files.model;
  const tokenizer = new Tokenizer({ ...files, model }, config);
  const count = (addSpecialTokens: boolean): number =>
    tokenizer.encode('a', { add_special_tokens: addSpecialTokens }).ids.length;
  return count(true) - count(false);
}

/** `all_special_ids` of transformers: the named tokens of the configuration. */
function specialIdsOf(files: TokenizerFiles, config: JsonObject): Set<number> {
  const { vocab } = files.model;
  const added = new Map((files.added_tokens ?? []).map(({ id, content }) => [content, id]));
  const idOf = (token: string): number => {
    if (added.has(token)) {
      return added.get(token) ?? -1;
    }
    return isList(vocab)
      ? vocab.findIndex((entry) => Array.isArray(entry) && entry[0] === token)
      : (vocab[token] ?? -1);
  };
  const additional = config['additional_special_tokens'];
  const named = [...TOKEN_NAMES.map((name) => config[name]), ...(Array.isArray(additional) ? additional : [])];
  const ids = new Set<number>();
  for (const token of named) {
    const text = textOf(token);
    const id = text === null ? -1 : idOf(text);
    if (id >= 0) {
      ids.add(id);
    }
  }
  return ids;
}

/** @throws Error naming the file, and what it lacks */
async function readTokenizerFile(path: string): Promise<TokenizerFiles> {
  const file = await readJsonObject(path);
  const { model, added_tokens: added } = file;
  if (!isRecord(model) || !(isRecord(model['vocab']) || isList(model['vocab']))) {
    throw new Error(`"${path}" is no tokenizer file: it has no "model" with a "vocab".`);
  }
  const isAddedToken = (token: unknown): boolean =>
    isRecord(token) && Number.isInteger(token['id']) && typeof token['content'] === 'string';
  if (added !== undefined && added !== null && !(isList(added) && added.every(isAddedToken))) {
    throw new Error(
      `"${path}" is no tokenizer file: its "added_tokens" are no list of objects with "id" and "content".`,
    );
  }
  return file as TokenizerFiles;
}

/** @throws Error naming the file that holds none */
async function readJsonObject(path: string): Promise<JsonObject> {
  const text = await readFile(path, 'utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`"${path}" is no JSON: ${String(error)}`);
  }
  if (!isRecord(json)) {
    throw new Error(`"${path}" is no tokenizer file: it holds no JSON object.`);
  }
  return json;
}

/** The text of a special token, as which it stands for itself or with more that is said of it; null: none. */
function textOf(token: unknown): string | null {
  const text = isRecord(token) ? token['content'] : token;
  return typeof text === 'string' ? text : null;
}

/** Unlike `Array.isArray` it also tells a readonly array from an object. */
function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
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
