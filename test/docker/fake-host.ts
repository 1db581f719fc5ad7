import type { ContainerHost } from '../../docker/container-host.js';

/** A container host that answers only what a test says; everything else is a mistake in the test. */
export function fakeHost(answers: Partial<ContainerHost>): ContainerHost {
  const unexpected = (method: string) => async (): Promise<never> => {
    throw new Error(`unexpected call of ${method}`);
  };
  return {
    address: 'unix:///nosuch/docker.sock',
    ping: unexpected('ping'),
    info: unexpected('info'),
    findImage: unexpected('findImage'),
    pullImage: unexpected('pullImage'),
    removeImage: unexpected('removeImage'),
    listImages: unexpected('listImages'),
    buildWithSession: unexpected('buildWithSession'),
    createContainer: unexpected('createContainer'),
    startContainer: unexpected('startContainer'),
    waitForExit: unexpected('waitForExit'),
    inspectContainer: unexpected('inspectContainer'),
    killContainer: unexpected('killContainer'),
    removeContainer: unexpected('removeContainer'),
    listContainers: unexpected('listContainers'),
    attachOutput: unexpected('attachOutput'),
    ...answers,
  };
}

/** An image as the host finds it. */
export function imageInfo(id: string): {
  readonly id: string;
  readonly tags: readonly string[];
  readonly createdAt: string;
  readonly sizeBytes: number;
} {
  return { id, tags: [], createdAt: '2026-01-01T00:00:00Z', sizeBytes: 1 };
}
