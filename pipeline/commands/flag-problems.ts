import { UsageError } from '../usage-error.js';

const nothingStarted = 'Nothing was started.';

/** Reads flag after flag and keeps what is wrong with them, so that everything is said at once. */
export class FlagProblems {
  readonly #problems: string[] = [];

  /** @returns what `read` returns; `instead` where it throws a UsageError, which is kept */
  read<Value>(read: () => Value, instead: Value): Value {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#problems.push(error.message);
      return instead;
    }
  }

  add(problem: string): void {
    this.#problems.push(problem);
  }

  /** @throws UsageError where anything was wrong */
  throwIfAny(): void {
    if (this.#problems.length === 0) return;
    const said = this.#problems.join('\n');
    throw new UsageError(said.includes(nothingStarted) ? said : `${said}\n${nothingStarted}`);
  }
}
