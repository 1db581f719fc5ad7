import { randomBytes } from 'node:crypto';
import type { ToolCallForm } from './tool-choice.js';

/** What is new of a call: first its name, then its arguments, piece by piece. */
export type ToolDelta = { readonly id: string; readonly name: string } | { readonly arguments: string };

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

/** What a whole answer says. */
export interface ReadCall {
  readonly content: string | null;
  readonly calls: readonly ToolCall[];
}

/** Reads a tool call out of a growing answer, as vLLM's parser of the Hermes form does. */
export class ToolCallReader {
  readonly #form: ToolCallForm;
  readonly #id = `chatcmpl-tool-${randomBytes(8).toString('hex')}`;
  readonly #nameEnd: number;
  #text = '';
  /** Where the arguments that have not been told begin. */
  #told: number;
  #isAnnounced = false;
  /** Offset after the arguments, once they are complete. */
  #end: number | null = null;
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  constructor(form: ToolCallForm) {
    this.#form = form;
    this.#nameEnd = form.before.indexOf(', "arguments"');
    this.#told = form.before.length;
  }

  /**
   * An end with this reason is reported as that of a call. A stream has announced its call before it knows whether the
   * tokens suffice for all of it.
   */
  endsAsCall(reason: string, isStream: boolean): boolean {
    if (this.#form.kind === 'named') return false;
    if (isStream) return this.#isAnnounced;
    return this.#isWhole && (this.#form.kind === 'auto' || reason === 'stop');
  }

  push(added: string): readonly ToolDelta[] {
    const from = this.#text.length;
    this.#text += added;
    this.#scan(from);
    const deltas: ToolDelta[] = [];
    if (!this.#isAnnounced && this.#text.length >= this.#nameEnd) {
      this.#isAnnounced = true;
      deltas.push({ id: this.#id, name: this.#form.name });
    }
    const until = this.#end ?? this.#text.length;
    if (until > this.#told) {
      deltas.push({ arguments: this.#text.slice(this.#told, until) });
      this.#told = until;
    }
    return deltas;
  }

  /** All of the answer. A call that was cut off is none, but text. */
  whole(): ReadCall {
    const { kind, name, before } = this.#form;
    if (!this.#isWhole) return { content: this.#text, calls: [] };
    const call = { id: this.#id, name, arguments: this.#text.slice(before.length, this.#end ?? undefined) };
    return { content: kind === 'auto' ? null : '', calls: [call] };
  }

  /** The brace that closes the call itself follows the arguments' own. */
  get #isWhole(): boolean {
    return this.#end !== null && this.#text[this.#end] === '}';
  }

  /** Looks for the brace that closes the arguments. */
  #scan(from: number): void {
    for (let at = Math.max(from, this.#form.before.length); at < this.#text.length && this.#end === null; at += 1) {
      const character = this.#text[at] ?? '';
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#inString) {
        if (character === '\\') this.#isEscaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === '{' || character === '[') this.#depth += 1;
      else if (character === '}' || character === ']') {
        this.#depth -= 1;
        if (this.#depth === 0) this.#end = at + 1;
      }
    }
  }
}
