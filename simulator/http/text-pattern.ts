import type { Draws } from './schema-instance.js';

/** Code points from the first to the last, both included. */
export type CharacterRange = readonly [first: number, last: number];

/** What a text has to be made of. */
export type Pattern =
  | { readonly kind: 'set'; readonly ranges: readonly CharacterRange[] }
  | { readonly kind: 'sequence'; readonly items: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly options: readonly Pattern[] }
  /** `most` null: without end. */
  | { readonly kind: 'repeat'; readonly item: Pattern; readonly least: number; readonly most: number | null }
  | { readonly kind: 'rule'; readonly name: string };

export type Rules = ReadonlyMap<string, Pattern>;

const LAST_CODE_POINT = 0x10ffff;
const SURROGATES: CharacterRange = [0xd800, 0xdfff];
const PRINTABLE: CharacterRange = [0x20, 0x7e];
const LETTERS: CharacterRange = [0x61, 0x7a];
const SPACE = 0x20;
/** Repetitions without an end stop after so many more than they need. */
const FURTHER_ITEMS = 3;
const FURTHER_CHARACTERS = 24;
/** Below this, only what leads to an end. */
const DEEPEST = 12;
/** However much is asked for. */
const MOST_CHARACTERS = 20_000;

export function characters(...ranges: readonly CharacterRange[]): Pattern {
  return { kind: 'set', ranges: merged(ranges) };
}

export function literal(text: string): Pattern {
  const items = [...text].map((one) => {
    const code = one.codePointAt(0) ?? 0;
    return characters([code, code]);
  });
  return { kind: 'sequence', items };
}

/** All characters but those of the ranges. */
export function complement(ranges: readonly CharacterRange[]): readonly CharacterRange[] {
  const left: CharacterRange[] = [];
  let next = 0;
  for (const [first, last] of merged([...ranges, SURROGATES])) {
    if (first > next) left.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST_CODE_POINT) left.push([next, LAST_CODE_POINT]);
  return left;
}

function merged(ranges: readonly CharacterRange[]): readonly CharacterRange[] {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const result: CharacterRange[] = [];
  for (const [first, last] of sorted) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1)
      result[result.length - 1] = [before[0], Math.max(before[1], last)];
    else result.push([first, last]);
  }
  return result;
}

/** A text of the pattern, the same for the same draws; letters and words where these are allowed. */
export function patternText(pattern: Pattern, rules: Rules, draws: Draws): string {
  return new Writer(rules, draws).text(pattern);
}

class Writer {
  readonly #rules: Rules;
  readonly #draws: Draws;
  /** How many rules lie below each one at least; without end where it never ends. */
  readonly #heights: ReadonlyMap<string, number>;
  #left = MOST_CHARACTERS;

  constructor(rules: Rules, draws: Draws) {
    this.#rules = rules;
    this.#draws = draws;
    this.#heights = heightsOf(rules);
  }

  text(pattern: Pattern, depth = 0): string {
    if (this.#left <= 0) return '';
    switch (pattern.kind) {
      case 'set':
        this.#left -= 1;
        return this.#character(pattern.ranges);
      case 'sequence':
        return pattern.items.map((item) => this.text(item, depth)).join('');
      case 'choice':
        return this.text(this.#option(pattern.options, depth), depth);
      case 'repeat':
        return this.#repeated(pattern, depth);
      case 'rule': {
        const rule = this.#rules.get(pattern.name);
        const isEndless = (this.#heights.get(pattern.name) ?? Number.POSITIVE_INFINITY) === Number.POSITIVE_INFINITY;
        return rule === undefined || isEndless ? '' : this.text(rule, depth + 1);
      }
    }
  }

  #option(options: readonly Pattern[], depth: number): Pattern {
    const heights = options.map((option) => heightOf(option, this.#heights));
    const least = Math.min(...heights);
    const open = options.filter((_, index) =>
      depth < DEEPEST ? heights[index] !== Number.POSITIVE_INFINITY : heights[index] === least,
    );
    return open[this.#draws.number(open.length)] ?? options[0] ?? { kind: 'sequence', items: [] };
  }

  #repeated({ item, least, most }: Extract<Pattern, { kind: 'repeat' }>, depth: number): string {
    const isText = item.kind === 'set' && contains(item.ranges, LETTERS);
    const further = isText ? FURTHER_CHARACTERS : FURTHER_ITEMS;
    const highest = depth < DEEPEST ? Math.min(most ?? least + further, least + further) : least;
    const count = Math.min(least + this.#draws.number(highest - least + 1), this.#left);
    if (isText) return this.#words(item.ranges, count);
    let text = '';
    for (let index = 0; index < count; index += 1) text += this.text(item, depth);
    return text;
  }

  #words(ranges: readonly CharacterRange[], length: number): string {
    this.#left -= length;
    const gap = contains(ranges, [SPACE, SPACE]) ? ' ' : '';
    let text = '';
    while (text.length < length) text += this.#draws.word().toLowerCase() + gap;
    // A space at the end would be odd where letters may stand.
    return text.slice(0, length).replace(/ $/, 'a');
  }

  #character(ranges: readonly CharacterRange[]): string {
    const wanted = contains(ranges, LETTERS) ? [LETTERS] : common(ranges, PRINTABLE);
    const open = wanted.length > 0 ? wanted : ranges;
    const sizes = open.map(([first, last]) => last - first + 1);
    let index = this.#draws.number(sizes.reduce((sum, size) => sum + size, 0));
    for (const [at, [first]] of open.entries()) {
      const size = sizes[at] ?? 0;
      if (index < size) return String.fromCodePoint(first + index);
      index -= size;
    }
    return '';
  }
}

function contains(ranges: readonly CharacterRange[], [first, last]: CharacterRange): boolean {
  return ranges.some(([from, to]) => from <= first && to >= last);
}

function common(ranges: readonly CharacterRange[], [first, last]: CharacterRange): readonly CharacterRange[] {
  return ranges
    .map(([from, to]): CharacterRange => [Math.max(from, first), Math.min(to, last)])
    .filter(([from, to]) => from <= to);
}

function heightsOf(rules: Rules): ReadonlyMap<string, number> {
  const heights = new Map<string, number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const [name, pattern] of rules) {
      const height = 1 + heightOf(pattern, heights);
      if (height >= (heights.get(name) ?? Number.POSITIVE_INFINITY)) continue;
      heights.set(name, height);
      changed = true;
    }
  }
  return heights;
}

function heightOf(pattern: Pattern, heights: ReadonlyMap<string, number>): number {
  switch (pattern.kind) {
    case 'set':
      return pattern.ranges.length === 0 ? Number.POSITIVE_INFINITY : 0;
    case 'sequence':
      return Math.max(0, ...pattern.items.map((item) => heightOf(item, heights)));
    case 'choice':
      return Math.min(...pattern.options.map((option) => heightOf(option, heights)));
    case 'repeat':
      return pattern.least === 0 ? 0 : heightOf(pattern.item, heights);
    case 'rule':
      return heights.get(pattern.name) ?? Number.POSITIVE_INFINITY;
  }
}
