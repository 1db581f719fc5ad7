import { randomBytes } from 'node:crypto';
import type { ToolCallForm } from './tool-choice.js';

/** What a whole answer says. */
export interface ReadCall {
  readonly content: string | null;
  readonly toolCalls: readonly unknown[];
}

/** Reads a tool call out of a growing answer, as vLLM's parsers do. */
export class ToolCallReader {
  readonly #form: ToolCallForm;
  readonly #id = `chatcmpl-tool-${randomBytes(16).toString('hex')}`;
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
    this.#told = form.before.length;
  }

  /** The answer's end is reported as that of a call. */
  get endsAsCall(): boolean {
    return this.#isAnnounced && this.#form.kind !== 'named';
  }

  /** @returns the delta's JSON; null: there is nothing new to tell. */
  push(added: string): string | null {
    const from = this.#text.length;
    this.#text += added;
    this.#scan(from);
    const until = this.#end ?? this.#text.length;
    const { kind, name } = this.#form;
    if (until <= this.#told && !(kind === 'named' && this.#isAnnounced)) return null;
    const text = this.#text.slice(this.#told, until);
    this.#told = Math.max(this.#told, until);
    const call = this.#isAnnounced
      ? { index: 0, function: kind === 'required' ? { name: null, arguments: text } : { arguments: text } }
      : { id: this.#id, type: 'function', index: 0, function: { name, arguments: text } };
    this.#isAnnounced = true;
    return JSON.stringify({ tool_calls: [call] });
  }

  /** All of the answer. A call that was cut off is none, unless a tool was named: then all text is its arguments. */
  whole(): ReadCall {
    const { kind, name, before } = this.#form;
    const isCall = kind === 'named' ? this.#text.trim() !== '' : this.#end !== null;
    if (!isCall) return { content: kind === 'auto' ? this.#text : '', toolCalls: [] };
    const call = { name, arguments: this.#text.slice(before.length, this.#end ?? undefined) };
    return { content: kind === 'auto' ? null : '', toolCalls: [{ id: this.#id, type: 'function', function: call }] };
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
