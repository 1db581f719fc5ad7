import { KeyTable } from './key-table.js';

/** What earlier rows said about each conversation: 20 bytes a conversation, however long its name is. */
export class ConversationTable {
  readonly #names = new KeyTable();
  #turns = new Int32Array(1024);
  #lastTurnLabels = new Float64Array(1024);
  #historyTokens = new Float64Array(1024);

  get size(): number {
    return this.#names.size;
  }

  /** Its number, from 0 in order of appearance. */
  numberOf(name: string): number {
    const conversation = this.#names.intern(name);
    if (conversation >= this.#turns.length) {
      this.#turns = doubled(this.#turns, Int32Array);
      this.#lastTurnLabels = doubled(this.#lastTurnLabels, Float64Array);
      this.#historyTokens = doubled(this.#historyTokens, Float64Array);
    }
    return conversation;
  }

  /** Turns so far. */
  turns(conversation: number): number {
    return this.#turns[conversation] ?? 0;
  }

  /** What the file called the turn before; only after a first one. */
  lastTurnLabel(conversation: number): number {
    return this.#lastTurnLabels[conversation] ?? 0;
  }

  /** Tokens of all questions and answers so far. */
  historyTokens(conversation: number): number {
    return this.#historyTokens[conversation] ?? 0;
  }

  addTurn(conversation: number, historyTokens: number, label = 0): void {
    this.#turns[conversation] = this.turns(conversation) + 1;
    this.#historyTokens[conversation] = historyTokens;
    this.#lastTurnLabels[conversation] = label;
  }
}

function doubled<Values extends Int32Array | Float64Array>(
  values: Values,
  create: new (length: number) => Values,
): Values {
  const larger = new create(values.length * 2);
  larger.set(values);
  return larger;
}
