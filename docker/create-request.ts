import type { LaunchSpec } from '../engines/launch-spec.js';
import { DockerError } from './errors.js';

/**
 * Body of `POST /containers/create` (Docker Engine API 1.41) as far as this project uses it, and the name,
 * which travels as a query parameter.
 */
export interface CreateRequest {
  readonly name: string;
  readonly Image: string;
  readonly Entrypoint?: string[];
  readonly Cmd: string[];
  /** `NAME=value` */
  readonly Env: string[];
  readonly Labels: Record<string, string>;
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly IpcMode: string;
    readonly Binds: string[];
    readonly Runtime?: string;
    readonly DeviceRequests?: {
      readonly Driver: string;
      readonly DeviceIDs: string[];
      readonly Capabilities: string[][];
    }[];
    /** Bytes of host memory the container may use. */
    readonly Memory?: number;
  };
}

/**
 * The create request of one engine, what the original suite's
 * `docker run -d --runtime nvidia --gpus ... --network host --ipc host ...` sends. With `spec.container.gpu` null
 * (the simulator) only the runtime and the GPU request are left out.
 * @throws DockerError (bad-mount) for a path with a colon, which a bind cannot express.
 */
export function createRequest(spec: LaunchSpec, labels: Readonly<Record<string, string>>): CreateRequest {
  const { image, entrypoint, mounts, gpu } = spec.container;
  return {
    name: spec.name,
    Image: image,
    ...(entrypoint === null ? {} : { Entrypoint: [...entrypoint] }),
    Cmd: [...spec.args],
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    Labels: { ...labels },
    HostConfig: {
      NetworkMode: 'host',
      IpcMode: 'host',
      Binds: mounts.map((mount) => bind(mount.source, mount.target, mount.readOnly)),
      ...(gpu === null
        ? {}
        : {
            Runtime: gpu.runtime,
            // An empty driver lets the daemon choose by capability, as `docker run --gpus` does.
            DeviceRequests: [{ Driver: '', DeviceIDs: [...gpu.uuids], Capabilities: [['gpu']] }],
          }),
    },
  };
}

function bind(source: string, target: string, readOnly: boolean): string {
  const colon = [source, target].find((path) => path.includes(':'));
  if (colon !== undefined) {
    throw new DockerError(
      'bad-mount',
      `Cannot mount "${source}" at "${target}": "${colon}" has a colon, which separates the parts of a bind mount. Use a path without one (HF_HOME).`,
    );
  }
  return `${source}:${target}${readOnly ? ':ro' : ''}`;
}
