import type { FailureCause } from '../results-schema/step-result.js';

/** What went wrong between us and the Docker daemon, for machines. */
export type DockerErrorKind =
  /** Nothing answers at the socket or address. */
  | 'daemon-unreachable'
  /** The socket is there, this user may not use it. */
  | 'permission-denied'
  /** The image is neither local nor can it be pulled. */
  | 'image-missing'
  | 'container-missing'
  /** The nvidia runtime or a GPU driver is not installed in the daemon. */
  | 'no-gpu'
  | 'port-taken'
  | 'name-conflict'
  | 'out-of-space'
  | 'out-of-memory'
  /** The entrypoint is not in the image or not executable. */
  | 'entrypoint-failed'
  /** A bind mount's source is not there, or cannot be expressed. */
  | 'bad-mount'
  /** The daemon already is where the call wanted it (started, stopped, being removed). */
  | 'already-done'
  | 'timeout'
  | 'aborted'
  | 'unknown';

/** How a run ends that meets it. */
export const failureCauseOf: Readonly<Record<DockerErrorKind, FailureCause>> = {
  'daemon-unreachable': 'daemon-unreachable',
  'permission-denied': 'daemon-unreachable',
  'image-missing': 'image-missing',
  'container-missing': 'engine-died',
  'no-gpu': 'no-gpu',
  'port-taken': 'port-taken',
  'name-conflict': 'bad-value',
  'out-of-space': 'disk',
  'out-of-memory': 'out-of-memory',
  'entrypoint-failed': 'engine-died',
  'bad-mount': 'bad-value',
  'already-done': 'exception',
  timeout: 'timeout',
  aborted: 'signal',
  unknown: 'exception',
};

/** A failed talk with the daemon; `message` says what was tried, what it answered and what to do next. */
export class DockerError extends Error {
  override readonly name = 'DockerError';
  readonly kind: DockerErrorKind;
  /** HTTP status of the daemon's answer; null when it never answered. */
  readonly statusCode: number | null;
  /** The daemon's own words. */
  readonly detail: string;

  constructor(
    kind: DockerErrorKind,
    message: string,
    options: { readonly statusCode?: number | null; readonly detail?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.statusCode = options.statusCode ?? null;
    this.detail = options.detail ?? message;
  }
}
