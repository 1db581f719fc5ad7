import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { Tokenizer as TokenizerFiles } from '@huggingface/tokenizers';
import { z } from 'zod';
import type { ChatMessage, Tokenizer } from '../contracts.js';
import { renderQwen3Chat } from './built-in-tokenizer.js';

const specialTokenSchema = z.union([z.string(), z.looseObject({ content: z.string() }), z.null()]).optional();
const configSchema = z.looseObject({
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).optional(),
  eos_token: specialTokenSchema,
  bos_token: specialTokenSchema,
});
const tokenizerSchema = z.looseObject({ model: z.looseObject({}) });

/**
 * The folder of a model's tokenizer in the local Hugging Face cache, or null if it is not there.
 * Layout: `<home>/hub/models--<owner>--<name>/snapshots/<revision>/` with `refs/main` naming the revision.
 * @param hfHome HF_HOME; null means ~/.cache/huggingface.
 */
export function findCachedTokenizer(model: string, hfHome: string | null): string | null {
  if (existsSync(join(model, 'tokenizer.json'))) return model;
  const repository = join(
    hfHome ?? join(homedir(), '.cache', 'huggingface'),
    'hub',
    `models--${model.replaceAll('/', '--')}`,
  );
  const snapshots = join(repository, 'snapshots');
  if (!existsSync(snapshots)) return null;
  const reference = join(repository, 'refs', 'main');
  const revisions = existsSync(reference)
    ? [readFileSync(reference, 'utf8').trim(), ...readdirSync(snapshots)]
    : readdirSync(snapshots);
  for (const revision of revisions) {
    const directory = join(snapshots, revision);
    if (existsSync(join(directory, 'tokenizer.json')) && existsSync(join(directory, 'tokenizer_config.json'))) {
      return directory;
    }
  }
  return null;
}

/**
 * Loads a model's own tokenizer from local files; nothing is downloaded.
 * @throws Error naming the file that is missing or not a tokenizer.
 */
export function loadHuggingFaceTokenizer(directory: string): Tokenizer {
  const config = parseJsonFile(join(directory, 'tokenizer_config.json'), configSchema);
  const files = new TokenizerFiles(parseJsonFile(join(directory, 'tokenizer.json'), tokenizerSchema), config);
  const vocabulary = files.get_vocab(true);
  let largestId = 0;
  for (const id of vocabulary.values()) largestId = Math.max(largestId, id);
  const eosText = specialTokenText(config.eos_token);
  const template = chatTemplate(directory, config.chat_template);
  const isSpecial = new Set(
    [...files.get_added_tokens_decoder()].filter(([, token]) => token.special).map(([id]) => id),
  );

  const encode = (text: string, addSpecialTokens: boolean) =>
    files.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  const render = (messages: readonly ChatMessage[], addGenerationPrompt: boolean) =>
    template === null
      ? renderQwen3Chat(messages, addGenerationPrompt)
      : template.render({
          messages,
          add_generation_prompt: addGenerationPrompt,
          bos_token: specialTokenText(config.bos_token),
          eos_token: eosText,
        });
  return {
    vocabSize: largestId + 1,
    builtIn: false,
    label: `"${directory}"`,
    eosTokenId: files.token_to_id(eosText) ?? largestId,
    encode: (text, options) => encode(text, options?.addSpecialTokens ?? true),
    decode: (ids, options) =>
      ids.length === 0
        ? ''
        : files.decode([...ids], {
            skip_special_tokens: options?.skipSpecialTokens ?? false,
            clean_up_tokenization_spaces: false,
          }),
    applyChatTemplate: (messages, options) => encode(render(messages, options?.addGenerationPrompt ?? true), false),
    tokenText: (id) => (isSpecial.has(id) ? '' : runningText(files, id)),
    tokenString: (id) => files.id_to_token(id) ?? '',
  };
}

/** SentencePiece decoders drop the space of a text's first token, so it is read off the vocabulary entry. */
function runningText(files: TokenizerFiles, id: number): string {
  const entry = files.id_to_token(id);
  if (entry === undefined) return '';
  const text = files.decode([id], { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  return entry.startsWith('\u2581') && !text.startsWith(' ') ? ` ${text}` : text;
}

function chatTemplate(directory: string, configured: z.infer<typeof configSchema>['chat_template']): Template | null {
  const ownFile = join(directory, 'chat_template.jinja');
  if (existsSync(ownFile)) return new Template(readFileSync(ownFile, 'utf8'));
  if (configured === undefined) return null;
  if (typeof configured === 'string') return new Template(configured);
  const chosen = configured.find((entry) => entry.name === 'default') ?? configured[0];
  return chosen === undefined ? null : new Template(chosen.template);
}

function specialTokenText(token: z.infer<typeof specialTokenSchema>): string {
  if (token === undefined || token === null) return '';
  return typeof token === 'string' ? token : token.content;
}

function parseJsonFile<T>(path: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `cannot read the tokenizer file "${path}": ${why}; give a folder with tokenizer.json and tokenizer_config.json`,
    );
  }
}
