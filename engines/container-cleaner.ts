import { endInTurn, partition } from './end-in-turn.js';
import type { ReleaseReport } from './fleet.js';
import { buildIdLabel, registryLabel, roleLabel } from './run-labels.js';

export interface LabelledContainer {
  readonly id: string;
  readonly name: string;
  readonly buildId: string;
  /** Of a container that something else labelled: the empty string. */
  readonly role: string;
  readonly createdAtMs: number;
}

/** Finds and removes containers by their labels; what remains when the process that started them is gone. */
export interface ContainerCleaner {
  /** All of this registry's containers, of one run or of every run. @throws when the daemon does not answer. */
  list(buildId: string | null): Promise<readonly LabelledContainer[]>;
  /** Never throws: problems are listed. */
  remove(containers: readonly LabelledContainer[], graceMs: number): Promise<ReleaseReport>;
}

/** An mp-test run's LMCache server after the engines that use it. Never throws. */
export async function removeInTurn(
  cleaner: ContainerCleaner,
  containers: readonly LabelledContainer[],
  graceMs: number,
): Promise<ReleaseReport> {
  const [servers, engines] = partition(containers, ({ role }) => role === 'lmcache');
  const turns = {
    engines: () => cleaner.remove(engines, graceMs),
    servers: (leftMs: number) => cleaner.remove(servers, leftMs),
  };
  const reports = await endInTurn(turns, graceMs);
  return {
    removed: reports.flatMap(({ removed }) => removed),
    forced: reports.flatMap(({ forced }) => forced),
    problems: reports.flatMap(({ problems }) => problems),
  };
}

/** Through the Docker daemon; its client is loaded only now, since a run on processes never needs it. */
export async function openContainerCleaner(registryName: string): Promise<ContainerCleaner> {
  const { openContainerHost } = await import('../docker/client.js');
  const { describeHolder, listByLabel, stopAndRemoveContainer } = await import('../docker/labelled-containers.js');
  const host = openContainerHost();
  return {
    async list(buildId) {
      const found = await listByLabel(host, { [registryLabel]: registryName, [buildIdLabel]: buildId });
      return found.map((container) => ({
        id: container.id,
        name: container.name,
        buildId: container.labels[buildIdLabel] ?? '',
        role: container.labels[roleLabel] ?? '',
        createdAtMs: Date.parse(container.createdAt),
      }));
    },
    async remove(containers, graceMs) {
      const removed: string[] = [];
      const forced: string[] = [];
      const problems: string[] = [];
      await Promise.all(
        containers.map(async (container) => {
          try {
            const end = await stopAndRemoveContainer(host, container.id, graceMs);
            if (end.existed) removed.push(`container ${container.name}`);
            if (end.forced) forced.push(`container ${container.name}`);
          } catch (error) {
            const why = error instanceof Error ? error.message : String(error);
            problems.push(`container ${container.name}: ${why}${await describeHolder(host, container.id)}`);
          }
        }),
      );
      return { removed, forced, problems };
    },
  };
}
