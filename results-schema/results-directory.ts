/** Paths of one run's results, those of the original suite plus run.json, events.jsonl and logs/. */
export interface ResultsDirectory {
  /** Absolute. */
  readonly root: string;
  /** Absolute path below the root; parents are made when something is written. */
  path(...parts: readonly string[]): string;
  /** Hides secrets, validates, then writes to a temporary name and renames: never half a file. */
  writeJson(relativePath: string, value: unknown, options?: { readonly singleLine?: boolean }): Promise<void>;
  writeText(relativePath: string, text: string): Promise<void>;
}
