import { utf8ToJson } from '../../utf8-json.js';
import type { Reencoding } from '../prompt-tokenizer.js';
import { tokenOfBytes } from './byte-alphabet.js';
import type { ByteLevelFile } from './byte-level-file.js';
import { BytePairMerger } from './byte-pair-merger.js';
import { PairRanks } from './pair-ranks.js';
import { RunMemo } from './run-memo.js';
import { hasSeams, type SeamSides, seamSides } from './seams.js';
import { compileSplit } from './split-pattern.js';
import { TokenBytes } from './token-bytes.js';

/** V8 copies a substring up to here; a longer one would keep the whole text alive as a key. */
const MAX_CACHED_CHARACTERS = 12;
const MAX_CACHED_PIECES = 200_000;

/**
 * A byte-level BPE (GPT-2, Llama 3, Qwen, ...) with the results of @huggingface/tokenizers, special tokens apart, and
 * more than ten times its speed: bytes instead of strings, merges without allocation, known pieces looked up.
 */
export class ByteLevelBpe {
  readonly #isNormalized: boolean;
  readonly #patterns: readonly RegExp[];
  readonly #merger: BytePairMerger;
  /** Whole pieces that are tokens; null: they are merged together all the same. */
  readonly #wholePieces: ReadonlyMap<string, number> | null;
  readonly #added: AddedTokenSplitter;
  readonly #normalizedAdded: AddedTokenSplitter;
  readonly #pool: Uint8Array;
  /** Where each id's bytes begin in the pool; those of id `n` end where those of `n + 1` begin. */
  readonly #starts: Int32Array;
  /** By id; null: text cannot be cut at seams. */
  readonly #seams: SeamSides | null;
  readonly #pieces = new Map<string, number | readonly number[]>();
  readonly #memo = new RunMemo();
  readonly #textEncoder = new TextEncoder();
  #scratch = new Uint8Array(256);
  #decoded = Buffer.allocUnsafeSlow(4096);

  private constructor(file: ByteLevelFile, tokens: TokenBytes, merger: BytePairMerger) {
    this.#isNormalized = file.isNormalized;
    this.#patterns = file.splits.map(compileSplit);
    this.#merger = merger;
    this.#wholePieces = file.ignoreMerges ? new Map(Object.entries(file.vocabulary)) : null;
    const [normalized, raw] = [true, false].map((wanted) =>
      file.addedTokens.filter(({ isNormalized }) => isNormalized === wanted),
    );
    this.#added = new AddedTokenSplitter((raw ?? []).map(({ id, content }) => [content, id]));
    this.#normalizedAdded = new AddedTokenSplitter(
      (normalized ?? []).map(({ id, content }) => [content.normalize('NFC'), id]),
    );
    this.#starts = tokens.starts;
    this.#pool = tokens.pool;
    const contents = file.addedTokens.map(({ content }) => content);
    this.#seams = hasSeams(file.splits, contents) ? seamSides(tokens) : null;
  }

  /** @returns null where the vocabulary leaves out a byte or what a merge needs: others must tell what then */
  static from(file: ByteLevelFile): ByteLevelBpe | null {
    const { vocabulary } = file;
    const tokens = TokenBytes.from(file);
    if (tokens === null) {
      return null;
    }
    const addedIds = new Set(file.addedTokens.map(({ id }) => id));
    const idOfByte = tokens.idsOfBytes((id) => addedIds.has(id));
    if (idOfByte.includes(-1)) {
      return null;
    }
    const ranks = new PairRanks(file.merges.length);
    const mergedId = new Int32Array(file.merges.length);
    for (const [rank, [left, right]] of file.merges.entries()) {
      const ids = [vocabulary[left], vocabulary[right], vocabulary[left + right]];
      const [leftId = -1, rightId = -1, merged = -1] = ids;
      if (leftId < 0 || rightId < 0 || merged < 0) {
        return null;
      }
      ranks.set(leftId, rightId, rank);
      mergedId[rank] = merged;
    }
    return new ByteLevelBpe(file, tokens, new BytePairMerger(idOfByte, ranks, mergedId));
  }

  /** Malformed UTF-8 becomes U+FFFD; ids that nobody has are left out. */
  decode(ids: readonly number[], start = 0, end = ids.length): string {
    return this.#bytesOf(ids, start, end).toString('utf8');
  }

  /** The text of `decode` as a JSON string in UTF-8. */
  decodeToJson(ids: readonly number[]): Buffer {
    return utf8ToJson(this.#bytesOf(ids, 0, ids.length));
  }

  /** Valid until the next call. */
  #bytesOf(ids: readonly number[], start: number, end: number): Buffer {
    const starts = this.#starts;
    let size = 0;
    for (let index = start; index < end; index += 1) {
      const id = ids[index] ?? 0;
      size += Math.max(0, (starts[id + 1] ?? 0) - (starts[id] ?? 0));
    }
    if (this.#decoded.length < size) {
      this.#decoded = Buffer.allocUnsafeSlow(size * 2);
    }
    const bytes = this.#decoded;
    const pool = this.#pool;
    let to = 0;
    for (let index = start; index < end; index += 1) {
      const id = ids[index] ?? 0;
      const stop = starts[id + 1] ?? 0;
      for (let from = starts[id] ?? 0; from < stop; from += 1) {
        bytes[to] = pool[from] ?? 0;
        to += 1;
      }
    }
    return bytes.subarray(0, to);
  }

  /** Without special tokens around the text; those within it are found. */
  encode(text: string): number[] {
    const out: number[] = [];
    this.#added.split(text, out, (section) => {
      const normalized = this.#isNormalized ? section.normalize('NFC') : section;
      this.#normalizedAdded.split(normalized, out, (part) => this.#encodePlain(part, out));
    });
    return out;
  }

  /** `encode(decode(ids))`, written over the ids; those before the last seam within the stable ones stay. */
  reencode(ids: number[], stable: number): Reencoding {
    const kept = this.#lastSeam(ids, stable);
    const replaced = ids.slice(kept);
    // Over what is there: an array that shrinks and grows again would leave its memory behind each time.
    let to = kept;
    const write = (output: readonly number[]): void => {
      for (const id of output) {
        ids[to] = id;
        to += 1;
      }
    };
    if (this.#seams === null) {
      write(this.encode(this.decode(replaced)));
      ids.length = to;
      return { kept, replaced };
    }
    const { endsBefore, beginsAt } = this.#seams;
    // What comes behind stable ids is random padding, which never comes again.
    const memo = kept === 0 ? this.#memo : null;
    let start = 0;
    let hash = 0;
    for (let index = 0; index < replaced.length; index += 1) {
      const id = replaced[index] ?? 0;
      if (beginsAt[id] === 1 && index > start && endsBefore[replaced[index - 1] ?? 0] === 1) {
        write(this.#reencodeRun(replaced, start, index, memo, hash));
        start = index;
        hash = 0;
      }
      hash = RunMemo.hash(hash, id);
    }
    write(this.#reencodeRun(replaced, start, replaced.length, memo, hash));
    ids.length = to;
    return { kept, replaced };
  }

  /** 0: there is none. */
  #lastSeam(ids: readonly number[], stable: number): number {
    if (this.#seams !== null) {
      const { endsBefore, beginsAt } = this.#seams;
      for (let index = Math.min(stable, ids.length) - 1; index > 0; index -= 1) {
        if (beginsAt[ids[index] ?? 0] === 1 && endsBefore[ids[index - 1] ?? 0] === 1) {
          return index;
        }
      }
    }
    return 0;
  }

  #reencodeRun(
    ids: readonly number[],
    start: number,
    end: number,
    memo: RunMemo | null,
    hash: number,
  ): readonly number[] {
    const known = memo?.get(hash, ids, start, end) ?? null;
    if (known !== null) {
      return known;
    }
    const output = this.encode(this.decode(ids, start, end));
    memo?.set(hash, ids.slice(start, end), output);
    return output;
  }

  #append(ids: readonly number[], out: number[]): void {
    for (const id of ids) {
      out.push(id);
    }
  }

  /** Text without added tokens. */
  #encodePlain(text: string, out: number[]): void {
    let pieces: readonly string[] = [text];
    for (const pattern of this.#patterns) {
      pieces = pieces.length === 1 ? isolate(text, pattern) : pieces.flatMap((piece) => isolate(piece, pattern));
    }
    for (const piece of pieces) {
      const known = this.#pieces.get(piece);
      if (known === undefined) {
        this.#encodePiece(piece, out);
      } else if (typeof known === 'number') {
        out.push(known);
      } else {
        this.#append(known, out);
      }
    }
  }

  #encodePiece(piece: string, out: number[]): void {
    if (this.#scratch.length < piece.length * 3) {
      this.#scratch = new Uint8Array(piece.length * 3);
    }
    const before = out.length;
    const { written } = this.#textEncoder.encodeInto(piece, this.#scratch);
    const whole = this.#wholePieces?.get(tokenOfBytes(this.#scratch, written));
    if (whole === undefined) {
      this.#merger.encode(this.#scratch, written, out);
    } else {
      out.push(whole);
    }
    if (piece.length <= MAX_CACHED_CHARACTERS) {
      if (this.#pieces.size >= MAX_CACHED_PIECES) {
        this.#pieces.clear();
      }
      this.#pieces.set(piece, out.length === before + 1 ? (out[before] ?? 0) : out.slice(before));
    }
  }
}

/** Finds added tokens in a text, the leftmost first and the longest of those. */
class AddedTokenSplitter {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #pattern: RegExp | null;

  constructor(tokens: readonly (readonly [string, number])[]) {
    this.#ids = new Map(tokens);
    const contents = [...this.#ids.keys()].sort((a, b) => b.length - a.length);
    const escaped = contents.map((content) => content.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'));
    this.#pattern = contents.length === 0 ? null : new RegExp(escaped.join('|'), 'g');
  }

  split(text: string, out: number[], onPlain: (section: string) => void): void {
    let plainFrom = 0;
    for (const match of this.#pattern === null ? [] : text.matchAll(this.#pattern)) {
      if (match.index > plainFrom) {
        onPlain(text.slice(plainFrom, match.index));
      }
      out.push(this.#ids.get(match[0]) ?? 0);
      plainFrom = match.index + match[0].length;
    }
    if (plainFrom < text.length) {
      onPlain(plainFrom === 0 ? text : text.slice(plainFrom));
    }
  }
}

/** Matches, and what stands between them. */
function isolate(text: string, pattern: RegExp): readonly string[] {
  const matches: readonly string[] = text.match(pattern) ?? [];
  let covered = 0;
  for (const match of matches) {
    covered += match.length;
  }
  if (covered === text.length && !matches.includes('')) {
    return matches;
  }
  const pieces: string[] = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    pieces.push(text.slice(from, match.index), match[0]);
    from = match.index + match[0].length;
  }
  return [...pieces, text.slice(from)].filter((piece) => piece !== '');
}
