import type yargs from 'yargs';
import { UsageError } from '../usage-error.js';
import type { FlagProblems } from './flag-problems.js';

type Kind = 'text' | 'switch' | 'list';
type Flag = readonly [name: string, kind: Kind, describe: string, choices?: readonly string[]];

const groups: Readonly<Record<string, readonly Flag[]>> = {
  'Server:': [
    ['backend', 'text', 'openai and vllm use completions', ['openai', 'openai-chat', 'vllm']],
    ['base-url', 'text', 'e.g. http://127.0.0.1:8000; instead of host and port'],
    ['host', 'text', 'where the server is [default: 127.0.0.1]'],
    ['port', 'text', 'where it listens [default: 8000]'],
    ['endpoint', 'text', "path of the requests [default: the backend's]"],
    ['model', 'text', 'model of the requests [default: the first that the server lists]'],
    ['served-model-name', 'text', 'name in the requests, where it is another'],
    ['tokenizer', 'text', "directory, tokenizer.json or model name; else the cache's or the server's own"],
    ['tokenizer-mode', 'text', 'only the fast tokenizers of tokenizer.json', ['auto', 'hf']],
    ['trust-remote-code', 'switch', 'accepted; no remote code is run'],
    ['header', 'list', 'KEY=VALUE ... sent with each request'],
    ['insecure', 'switch', 'do not check certificates'],
    ['ready-check-timeout-sec', 'text', 'wait so long for the server, in seconds [default: 0]'],
  ],
  'Prompts:': [
    [
      'dataset-name',
      'text',
      'what the prompts are [default: random]',
      ['random', 'sharegpt', 'custom', 'prefix_repetition', 'timed_trace', 'long-doc-qa', 'multi-round-qa'],
    ],
    ['dataset-path', 'text', 'file of sharegpt (JSON), custom or timed_trace (JSONL)'],
    ['num-prompts', 'text', 'requests in all [default: 1000]'],
    ['seed', 'text', 'decides prompts and arrivals [default: 0]'],
    ['input-len', 'text', 'for --random-input-len'],
    ['output-len', 'text', "for the data set's output length"],
    ['random-input-len', 'text', 'tokens [default: 1024]'],
    ['random-output-len', 'text', 'tokens [default: 128]'],
    [
      'random-range-ratio',
      'text',
      'spread of the lengths, from 0 to below 1, or {"input": 0.3, "output": 0.5} [default: 0]',
    ],
    ['random-prefix-len', 'text', 'tokens that all prompts begin with [default: 0]'],
    ['sharegpt-output-len', 'text', 'tokens [default: as the recorded answers]'],
    ['custom-output-len', 'text', 'tokens, -1: what each line says [default: 256]'],
    ['skip-chat-template', 'switch', 'custom: send the prompts as they are'],
    ['chat-template-kwargs', 'text', 'custom: JSON, variables of the chat template'],
    ['prefix-repetition-prefix-len', 'text', 'tokens [default: 256]'],
    ['prefix-repetition-suffix-len', 'text', 'tokens [default: 256]'],
    ['prefix-repetition-num-prefixes', 'text', 'distinct prefixes [default: 10]'],
    ['prefix-repetition-output-len', 'text', 'tokens [default: 128]'],
    ['timed-trace-chunk-hash-size', 'text', 'tokens a hash id, 512 in Mooncake traces [default: 16]'],
    ['timed-trace-sec-multiplier', 'text', 'seconds a unit of the timestamps [default: 1]'],
    ['timed-trace-label-timestamp', 'text', 'name in the lines [default: timestamp]'],
    ['timed-trace-label-input-length', 'text', 'name in the lines [default: input_length]'],
    ['timed-trace-label-output-length', 'text', 'name in the lines [default: output_length]'],
    ['timed-trace-label-hash-ids', 'text', 'name in the lines [default: hash_ids]'],
    ['self-timed', 'switch', "timed_trace: send at the trace's times; --no-self-timed: at the request rate"],
    ['document-length', 'text', 'long-doc-qa: tokens [default: 20000]'],
    ['num-documents', 'text', 'long-doc-qa: documents [default: 8]'],
    ['repeat-count', 'text', 'long-doc-qa: queries a document [default: 2]'],
    ['repeat-mode', 'text', 'long-doc-qa: order of the queries [default: random]', ['random', 'tile', 'interleave']],
    ['num-users', 'text', 'multi-round-qa: users at once [default: 10]'],
    ['num-rounds', 'text', 'multi-round-qa: questions of each user [default: 5]'],
    ['qps', 'text', 'multi-round-qa: requests a second of all users [default: 1]'],
    ['shared-system-prompt', 'text', 'multi-round-qa: words that all users share [default: 1000]'],
    ['user-history-prompt', 'text', "multi-round-qa: words of each user's own [default: 2000]"],
    ['answer-len', 'text', 'multi-round-qa: tokens of each answer [default: 100]'],
    ['time', 'text', 'multi-round-qa: nothing is due later, in seconds [default: 100]'],
    ['init-user-id', 'text', 'multi-round-qa: the first user is one more [default: 0]'],
    ['disable-shuffle', 'switch', 'keep the order of the file'],
    ['oversample', 'switch', '--no-oversample: never repeat prompts of a short file'],
  ],
  'Load:': [
    ['request-rate', 'text', 'requests a second, inf: all at once [default: inf]'],
    ['burstiness', 'text', 'shape of the gamma distributed gaps, 1: Poisson [default: 1]'],
    ['ramp-up-strategy', 'text', 'instead of a request rate', ['linear', 'exponential']],
    ['ramp-up-start-rps', 'text', 'requests a second at the first request'],
    ['ramp-up-end-rps', 'text', 'requests a second at the last request'],
    ['max-concurrency', 'text', 'requests in flight at most'],
    ['workers', 'text', 'threads that send, or auto: more than one where the load needs them [default: auto]'],
    ['num-warmups', 'text', 'requests ahead, untimed, with content of their own [default: 0]'],
    ['abort-on-failure-rate', 'text', 'stop when more than this share failed, e.g. 0.1'],
  ],
  'Requests:': [
    ['ignore-eos', 'switch', 'generate as many tokens as asked for; always so with random and timed_trace'],
    ['extra-body', 'text', 'JSON, merged over each body'],
    ['logprobs', 'text', 'of completions'],
    ['temperature', 'text', "sampling [default: the server's]"],
    ['top-p', 'text', 'sampling'],
    ['top-k', 'text', 'sampling'],
    ['min-p', 'text', 'sampling'],
    ['frequency-penalty', 'text', 'sampling'],
    ['presence-penalty', 'text', 'sampling'],
    ['repetition-penalty', 'text', 'sampling'],
    ['request-id-prefix', 'text', 'X-Request-Id begins with it [default: bench-<8 hex digits>-]'],
  ],
  'Results:': [
    ['goodput', 'list', 'KEY:MS ... of ttft, tpot, e2el'],
    ['percentile-metrics', 'text', 'of ttft, tpot, itl, e2el, with commas between [default: ttft,tpot,itl]'],
    ['metric-percentiles', 'text', 'with commas between [default: 99]'],
    ['save-result', 'switch', 'write the result file'],
    ['save-detailed', 'switch', '... with lists of each request'],
    ['request-log', 'text', 'JSON lines file: every request with all its times, written as it ends'],
    ['append-result', 'switch', '... behind what the file holds'],
    ['result-dir', 'text', 'where the result file goes [default: .]'],
    ['result-filename', 'text', 'its name [default: {label}-{rate}qps-{model}-{date}.json]'],
    ['output', 'text', 'multi-round-qa: CSV file of its requests'],
    ['label', 'text', 'begins the name of the file [default: the backend]'],
    ['metadata', 'list', 'KEY=VALUE ... for the result file'],
    ['disable-tqdm', 'switch', 'no progress'],
  ],
};

/** How each flag is given, by its name. */
export const benchFlagForms: ReadonlyMap<
  string,
  { readonly kind: Kind; readonly choices: readonly string[] | undefined }
> = new Map(
  Object.values(groups)
    .flat()
    .map(([name, kind, , choices]) => [name, { kind, choices }]),
);

/** Declares every flag of `lmcache-ci bench`. */
export function addBenchFlags(parser: ReturnType<typeof yargs>): ReturnType<typeof yargs> {
  for (const [group, flags] of Object.entries(groups)) {
    for (const [name, kind, describe, choices] of flags) {
      parser.option(name, {
        group,
        describe,
        ...(kind === 'switch' ? { type: 'boolean' } : { type: 'string', requiresArg: true }),
        ...(kind === 'list' ? { array: true } : {}),
        ...(choices === undefined ? {} : { choices }),
      });
    }
  }
  return parser;
}

interface Range {
  readonly min?: number;
  readonly above?: number;
  readonly max?: number;
  readonly below?: number;
}

/**
 * Reads the flags of one call; every method throws a UsageError that quotes what it cannot read. With `problems` it is
 * kept there, and the flag reads as if it were not given.
 */
export class BenchFlags {
  readonly #parsed: Readonly<Record<string, unknown>>;
  readonly #problems: FlagProblems | null;

  constructor(parsed: Readonly<Record<string, unknown>>, problems: FlagProblems | null = null) {
    this.#parsed = parsed;
    this.#problems = problems;
  }

  #read<Value>(read: () => Value, instead: Value): Value {
    return this.#problems === null ? read() : this.#problems.read(read, instead);
  }

  /** The last one, where a flag is repeated. */
  text(name: string): string | undefined {
    const value = this.#parsed[name];
    const last: unknown = Array.isArray(value) ? value.at(-1) : value;
    return last === undefined ? undefined : String(last);
  }

  requiredText(name: string, why: string): string {
    return this.#read(() => {
      const value = this.text(name);
      if (value === undefined || value === '') throw new UsageError(`--${name} is missing: ${why}.`);
      return value;
    }, '');
  }

  /** One of some words. */
  choice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.text(name);
    return words.find((word) => word === value);
  }

  isOn(name: string): boolean {
    return this.#parsed[name] === true;
  }

  isOff(name: string): boolean {
    return this.#parsed[name] === false;
  }

  list(name: string): readonly string[] {
    const value = this.#parsed[name];
    return Array.isArray(value) ? value.map(String) : value === undefined ? [] : [String(value)];
  }

  /** A number in a range; `inf` is one. */
  number(name: string, range: Range = {}): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : this.#read(() => checkedNumber(`--${name}`, text, range), undefined);
  }

  /** A whole number of at least `min`. */
  count(name: string, min = 0): number | undefined {
    return this.#read(() => {
      const value = this.number(name, { min });
      if (value === undefined || Number.isSafeInteger(value)) return value;
      throw new UsageError(`--${name} must be a whole number, not "${this.text(name)}".`);
    }, undefined);
  }

  /** Numbers with commas between. */
  numbers(name: string, range: Range): readonly number[] | undefined {
    const texts = this.text(name)?.split(',');
    return this.#read(() => texts?.map((text) => checkedNumber(`--${name}`, text, range)), undefined);
  }

  /** A JSON object. */
  object(name: string): Record<string, unknown> | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    return this.#read(() => {
      try {
        const value: unknown = JSON.parse(text);
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
      } catch {
        // Said below.
      }
      throw new UsageError(`--${name} must be a JSON object such as '{"top_k": 20}', not "${text}".`);
    }, undefined);
  }

  /** KEY<separator>VALUE pairs. */
  pairs(name: string, separator: string, example: string): Record<string, string> {
    const read = (pair: string): [string, string] => {
      const at = pair.indexOf(separator);
      if (at < 1) throw new UsageError(`--${name} takes pairs such as ${example}, not "${pair}".`);
      return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    };
    return this.#read(() => Object.fromEntries(this.list(name).map(read)), {});
  }
}

/** @throws UsageError */
export function checkedNumber(what: string, text: string, range: Range): number {
  const value = /^\+?inf(inity)?$/i.test(text.trim()) ? Number.POSITIVE_INFINITY : Number(text.trim() || Number.NaN);
  const { min, above, max, below } = range;
  const isInRange =
    !Number.isNaN(value) &&
    (min === undefined || value >= min) &&
    (above === undefined || value > above) &&
    (max === undefined || value <= max) &&
    (below === undefined || value < below);
  if (!isInRange) {
    const limits = [
      min === undefined ? '' : `of at least ${min}`,
      above === undefined ? '' : `above ${above}`,
      max === undefined ? '' : `of at most ${max}`,
      below === undefined ? '' : `below ${below}`,
    ].filter((limit) => limit !== '');
    throw new UsageError(`${what} must be ${['a number', limits.join(' and ')].join(' ').trim()}, not "${text}".`);
  }
  return value;
}
