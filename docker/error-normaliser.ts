import { z } from 'zod';
import { DockerError, type DockerErrorKind } from './errors.js';

/** What dockerode's and Node's errors carry beyond a message; anything else is read as absent. */
const foreignErrorSchema = z.object({
  name: z.string().optional().catch(undefined),
  message: z.string().catch(''),
  code: z.string().optional().catch(undefined),
  statusCode: z.number().optional().catch(undefined),
  json: z.object({ message: z.string() }).nullish().catch(null),
});

const unreachableCodes = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOTSOCK',
]);

/** In this order: the first that matches the daemon's words decides. */
const kindsByWords: readonly (readonly [RegExp, DockerErrorKind])[] = [
  [/no space left on device|disk quota exceeded/i, 'out-of-space'],
  [/cannot allocate memory|fork\/exec .*resource temporarily unavailable/i, 'out-of-memory'],
  [/cannot connect to the docker daemon|error during connect|socket hang up/i, 'daemon-unreachable'],
  [/permission denied while trying to connect/i, 'permission-denied'],
  [
    /could not select device driver|unknown (?:or invalid )?runtime(?: specified| name)|nvidia-container-cli|unresolvable CDI devices|failed to discover GPU/i,
    'no-gpu',
  ],
  [/port is already allocated|address already in use|ports are not available/i, 'port-taken'],
  [/container name .* is already in use/i, 'name-conflict'],
  [/invalid mount config|bind source path does not exist|error while creating mount source path/i, 'bad-mount'],
  [/no such container/i, 'container-missing'],
  [
    /no such image|unable to find image|manifest unknown|no matching manifest|pull access denied|requested access to the resource is denied|repository does not exist|manifest for .* not found|toomanyrequests|(?:Get|Head) "https?:\/\/[^"]+\/v2\//i,
    'image-missing',
  ],
  [/exec: |executable file not found|OCI runtime create failed/i, 'entrypoint-failed'],
  [/is not running|removal of container .* is already in progress|already (?:started|stopped)/i, 'already-done'],
];

/** The kind of fault behind the daemon's (or its command line's) words; `unknown` rather than a guess. */
export function kindOfDaemonMessage(detail: string, statusCode: number | null): DockerErrorKind {
  if (statusCode === 304) return 'already-done';
  return kindsByWords.find(([pattern]) => pattern.test(detail))?.[1] ?? 'unknown';
}

const remedies: Readonly<Record<DockerErrorKind, string>> = {
  'daemon-unreachable':
    'Is the Docker daemon running? Start it (`systemctl start docker`), or set DOCKER_HOST to where it listens.',
  'permission-denied':
    'Add this user to the group "docker" (`usermod -aG docker $USER`, then log in again), or use sudo.',
  'image-missing': 'Build it first (step build-image), or set IMAGE to one that can be pulled.',
  'container-missing': '',
  'no-gpu':
    'Install the NVIDIA Container Toolkit and run `nvidia-ctk runtime configure --runtime=docker`, then restart Docker; or use ENGINE=sim.',
  'port-taken': 'Stop what listens there, or choose another port.',
  'name-conflict':
    'Remove that container (`lmcache-ci clean`, or `docker rm -f` with its name), or choose another BUILD_ID.',
  'out-of-memory': "The daemon's machine has no memory or no processes left: end what takes them (`free -g`, `ps`).",
  'out-of-space': "Free disk space on the daemon's machine: `docker system df` shows what takes it.",
  'entrypoint-failed': 'Does the image hold that program? IMAGE and LMCACHE_LAUNCH decide what is started.',
  'bad-mount': "Make that directory, or set HF_HOME to one that exists on the daemon's machine.",
  'already-done': '',
  timeout: 'The daemon did not answer in time: `docker info` and its log (`journalctl -u docker`) may say why.',
  aborted: '',
  unknown: "The daemon's log (`journalctl -u docker`) may say more.",
};

/** What `action` failed with, in our terms. `action` reads like `start container "vllm-mp-test-1"`. */
export function dockerErrorFrom(error: unknown, action: string, address: string): DockerError {
  if (error instanceof DockerError) return error;
  const foreign = foreignErrorSchema.safeParse(error).data ?? { message: String(error) };
  const statusCode = foreign.statusCode ?? null;
  const detail = (foreign.json?.message ?? foreign.message.replace(/^\(HTTP code \d+\) [^-]*- /, '')).trim();
  const kind = kindOf(foreign, detail, statusCode);
  const where = kind === 'daemon-unreachable' || kind === 'permission-denied' ? ` at "${address}"` : '';
  const parts = [`Docker could not ${action}${where}: ${detail || kind}.`.replace(/\.\.$/, '.'), remedies[kind]];
  return new DockerError(kind, parts.filter(Boolean).join(' '), { statusCode, detail, cause: error });
}

function kindOf(
  foreign: z.infer<typeof foreignErrorSchema>,
  detail: string,
  statusCode: number | null,
): DockerErrorKind {
  if (foreign.name === 'TimeoutError') return 'timeout';
  if (foreign.name === 'AbortError') return 'aborted';
  if (statusCode === null && foreign.code !== undefined) {
    if (foreign.code === 'EACCES' || foreign.code === 'EPERM') return 'permission-denied';
    if (unreachableCodes.has(foreign.code)) return 'daemon-unreachable';
  }
  return kindOfDaemonMessage(detail, statusCode);
}
