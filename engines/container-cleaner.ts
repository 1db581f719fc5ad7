import type { ReleaseReport } from './fleet.js';
import { buildIdLabel, registryLabel } from './run-labels.js';

export interface LabelledContainer {
  readonly id: string;
  readonly name: string;
  readonly buildId: string;
  readonly createdAtMs: number;
}

/** Finds and removes containers by their labels; what remains when the process that started them is gone. */
export interface ContainerCleaner {
  /** All of this registry's containers, of one run or of every run. @throws when the daemon does not answer. */
  list(buildId: string | null): Promise<readonly LabelledContainer[]>;
  /** Never throws: problems are listed. */
  remove(containers: readonly LabelledContainer[], graceMs: number): Promise<ReleaseReport>;
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
