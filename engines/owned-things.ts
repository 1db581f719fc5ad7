import type { ProcessGroup } from './live-run.js';

/** What a keeper's clients have started or made themselves: each thing goes with the client that handed it over. */
export class OwnedThings<Owner> {
  /** By pgid. */
  readonly #groups = new Map<number, { readonly group: ProcessGroup; readonly owner: Owner }>();
  /** Temporary directories. */
  readonly #directories = new Map<string, Owner>();

  get groups(): ProcessGroup[] {
    return [...this.#groups.values()].map(({ group }) => group);
  }

  get directories(): string[] {
    return [...this.#directories.keys()];
  }

  addGroup(group: ProcessGroup, owner: Owner): void {
    this.#groups.set(group.pgid, { group, owner });
  }

  removeGroup(pgid: number): void {
    this.#groups.delete(pgid);
  }

  addDirectory(directory: string, owner: Owner): void {
    this.#directories.set(directory, owner);
  }

  /** Takes away, and returns, all that one client has handed over. */
  takeOf(client: Owner): { readonly groups: readonly ProcessGroup[]; readonly directories: readonly string[] } {
    const groups = [...this.#groups.values()].flatMap(({ group, owner }) => (owner === client ? [group] : []));
    const directories = [...this.#directories].flatMap(([name, owner]) => (owner === client ? [name] : []));
    for (const { pgid } of groups) this.#groups.delete(pgid);
    for (const directory of directories) this.#directories.delete(directory);
    return { groups, directories };
  }
}
