import { readFileSync } from 'node:fs';
import { failureCauseSchema, failureReasonSchema } from './step-result.js';

/** What stands in the place of a secret, wherever something is written or printed. */
export const secretMark = '***';

const secretName = /TOKEN|SECRET|PASSWORD|PASSWD|KEY/i;
/** HF_TOKEN_PATH says where a secret is; that place is none. */
const placeName = /_(PATH|FILE|DIR|DIRECTORY|HOME)$/i;
const shortestSecret = 4;
/** Numbers this short (MAX_TOKENS=4096) would take measured values with them. */
const numberLike = /^[+-]?\d{1,7}(\.\d*)?$/;
const plainWords = /^(true|false|none|null|auto|default)$/i;
/** What our own files say in fixed places: hiding a part of it would make them unreadable. */
const ownWords = [
  ...failureReasonSchema.options,
  ...failureCauseSchema.options,
  ...['passed', 'failed', 'inconclusive', 'skipped', 'interrupted', 'reported', 'setup', 'test', 'cleanup'],
  ...['vllm', 'sim', 'lmcache', 'baseline', 'docker', 'process', 'external', 'environment', 'joined run'],
  ...['run-started', 'step-finished', 'build-started', 'engine-starting', 'engine-stopping', 'engine-exited'],
  ...['child-started', 'workload-finished', 'warning', 'setting-warning'],
];
const shortestMultilinePart = 8;

/** Values that must not be shown, and how they are hidden. */
export class SecretMask {
  readonly #values = new Set<string>();
  #pattern: RegExp | null = null;
  #longest = 0;

  /** Takes the values of all variables whose name says that they are secret: *TOKEN*, *SECRET*, *PASSWORD*, *KEY*. */
  learnEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
    for (const [name, value] of Object.entries(environment)) {
      if (value !== undefined && secretName.test(name) && !placeName.test(name)) this.learn(value);
    }
  }

  /** Takes the content of a file with one secret, a token's; a file that cannot be read tells nobody anything. */
  learnFile(path: string): void {
    try {
      this.learn(readFileSync(path, 'utf8').slice(0, 10_000));
    } catch {
      // Whoever needs it says what is wrong with it.
    }
  }

  /** Values below 4 characters, short numbers and our own words are not taken: they would be found everywhere. */
  learn(secret: string): void {
    const value = secret.trim();
    // A key of several lines is printed line by line.
    const parts = value.includes('\n')
      ? value.split('\n').filter((line) => line.trim().length >= shortestMultilinePart)
      : [value];
    for (const part of parts.map((line) => line.trim())) {
      const hidesNothing = part.length < shortestSecret || numberLike.test(part) || plainWords.test(part);
      if (hidesNothing || ownWords.some((word) => word.includes(part))) continue;
      for (const spelling of [part, JSON.stringify(part).slice(1, -1), encodeURIComponent(part)]) {
        this.#values.add(spelling);
      }
    }
    const all = [...this.#values].sort((a, b) => b.length - a.length);
    this.#longest = all[0]?.length ?? 0;
    this.#pattern = all.length === 0 ? null : new RegExp(all.map(escapeForPattern).join('|'), 'g');
  }

  /** Length of the longest secret: how much of an endless line must be held back before it may be passed on. */
  get longest(): number {
    return this.#longest;
  }

  /** The text with every secret, and every user and password of a URL, replaced by `***`. */
  hide(text: string): string {
    const hidden = this.#pattern === null ? text : text.replace(this.#pattern, secretMark);
    return hidden.includes('://') ? hidden.replace(/:\/\/[^\s/@:"']*:[^\s/@"']+@/g, `://${secretMark}@`) : hidden;
  }

  /** A copy of a JSON value with all its texts (not its keys) hidden. */
  hideIn<Value>(value: Value): Value;
  hideIn(value: unknown): unknown {
    if (typeof value === 'string') return this.hide(value);
    if (Array.isArray(value)) return value.map((inner) => this.hideIn(inner));
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.hideIn(inner)]));
  }
}

function escapeForPattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

/** The secrets of this process: those of its environment at once, others as they are met (`.env`, a token file). */
export const secrets = new SecretMask();
secrets.learnEnvironment(process.env);
