import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { dockerErrorFrom, kindOfDaemonMessage } from '../../docker/error-normaliser.js';
import { DockerError, type DockerErrorKind } from '../../docker/errors.js';
import { fixture } from './fixtures.js';

const recorded = z
  .record(z.string(), z.object({ error: z.record(z.string(), z.unknown()).optional() }))
  .parse(JSON.parse(fixture('dockerode.json')));

const expectedKinds: Readonly<Record<string, DockerErrorKind>> = {
  'build-syntax': 'unknown',
  'build-target-missing': 'unknown',
  'build-dockerfile-missing': 'unknown',
  'create-missing-image': 'image-missing',
  'pull-missing': 'image-missing',
  'gpus-all': 'no-gpu',
  'gpus-device': 'no-gpu',
  'runtime-nvidia': 'no-gpu',
  'name-conflict': 'name-conflict',
  'exec-missing': 'entrypoint-failed',
  'port-in-use-by-container': 'port-taken',
  'port-in-use-by-process': 'port-taken',
  'inspect-missing': 'container-missing',
  'remove-missing': 'container-missing',
  'remove-running-no-force': 'unknown',
  'start-running': 'already-done',
  'stop-stopped': 'already-done',
  'kill-stopped': 'already-done',
  'bad-mount': 'bad-mount',
  'daemon-absent': 'daemon-unreachable',
  'daemon-refused': 'daemon-unreachable',
};

describe('errors of the Docker API', () => {
  const failures = Object.entries(recorded).flatMap(([name, { error }]) =>
    error === undefined ? [] : [{ name, error }],
  );

  test('every recorded failure is covered', () => {
    expect(failures.map(({ name }) => name).sort()).toEqual(Object.keys(expectedKinds).sort());
  });

  test.each(failures)('$name', ({ name, error }) => {
    const thrown = Object.assign(new Error(String(error['message'])), error);
    const ours = dockerErrorFrom(thrown, 'do "it"', 'unix:///run/nosuch.sock');
    expect(ours).toBeInstanceOf(DockerError);
    expect(ours.kind).toBe(expectedKinds[name]);
    expect(ours.statusCode).toBe(error['statusCode'] ?? null);
    expect(ours.cause).toBe(thrown);
    expect(ours.message).toMatch(/^Docker could not do "it"/);
    expect(ours.message).not.toContain('HTTP code');
  });

  test('what to do next is said', () => {
    const absent = Object.assign(new Error('connect ENOENT /run/nosuch.sock'), { code: 'ENOENT' });
    const message = dockerErrorFrom(absent, 'answer', 'unix:///run/nosuch.sock').message;
    expect(message).toContain('"unix:///run/nosuch.sock"');
    expect(message).toContain('systemctl start docker');
  });

  test('a socket that is not ours to use', () => {
    const denied = Object.assign(new Error('connect EACCES /var/run/docker.sock'), { code: 'EACCES' });
    const ours = dockerErrorFrom(denied, 'answer', 'unix:///var/run/docker.sock');
    expect(ours.kind).toBe('permission-denied');
    expect(ours.message).toContain('usermod -aG docker');
  });

  test('a DockerError passes through, so that the first one is kept', () => {
    const first = new DockerError('no-gpu', 'first');
    expect(dockerErrorFrom(first, 'other', 'x')).toBe(first);
  });

  test('anything may be thrown', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(dockerErrorFrom(value, 'act', 'here')).toBeInstanceOf(DockerError);
      }),
    );
  });
});

describe("the command line's words", () => {
  const kindsByCase: Readonly<Record<string, DockerErrorKind>> = {
    'bad-mount': 'bad-mount',
    'bad-network': 'unknown',
    'daemon-absent': 'daemon-unreachable',
    'daemon-absent-run': 'daemon-unreachable',
    'daemon-refused': 'daemon-unreachable',
    'exec-in-stopped': 'already-done',
    'info-missing-image': 'image-missing',
    'inspect-missing': 'unknown',
    'logs-missing': 'container-missing',
    'pull-missing': 'image-missing',
    'run-exec-missing': 'entrypoint-failed',
    'run-gpus-all': 'no-gpu',
    'run-gpus-device': 'no-gpu',
    'run-missing-image': 'image-missing',
    'run-missing-image-hub': 'image-missing',
    'run-name-conflict': 'name-conflict',
    'run-port-in-use-by-container': 'port-taken',
    'run-port-in-use-by-process': 'port-taken',
    'run-port-in-use-host-network': 'port-taken',
    'run-runtime-nvidia': 'no-gpu',
  };
  const messages = z
    .array(z.object({ name: z.string(), cli: z.string(), stderr: z.string() }))
    .parse(JSON.parse(fixture('cli-messages.json')));

  test.each(messages)('$name (docker $cli)', ({ name, stderr }) => {
    expect(kindOfDaemonMessage(stderr, null)).toBe(kindsByCase[name]);
  });

  test.each([
    ['write /var/lib/docker/tmp/x: no space left on device', 'out-of-space'],
    ['Error response from daemon: unknown or invalid runtime name: nvidia', 'no-gpu'],
    ['nvidia-container-cli: initialization error: nvml error: driver not loaded', 'no-gpu'],
    ['pull access denied for lmcache/none, repository does not exist or may require docker login', 'image-missing'],
    ['removal of container 12ab is already in progress', 'already-done'],
    ['toomanyrequests: You have reached your unauthenticated pull rate limit.', 'image-missing'],
    ['manifest unknown: manifest unknown', 'image-missing'],
    ['no matching manifest for linux/arm64/v8 in the manifest list entries', 'image-missing'],
    ['denied: requested access to the resource is denied', 'image-missing'],
    ['Get "https://registry.example/v2/": tls: failed to verify certificate: x509: unknown authority', 'image-missing'],
    ['Head "https://registry.example/v2/a/manifests/b": received unexpected HTTP status: 503', 'image-missing'],
    [
      'failed to create shim task: OCI runtime create failed: error running prestart hook #0: nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown',
      'no-gpu',
    ],
    [
      'failed to create shim task: OCI runtime create failed: unable to apply cgroup configuration: cannot allocate memory: unknown',
      'out-of-memory',
    ],
    ['fork/exec /usr/bin/containerd-shim-runc-v2: resource temporarily unavailable: unknown', 'out-of-memory'],
    ['failed to register layer: write /opt/venv/lib/libtorch.so: no space left on device', 'out-of-space'],
    [
      'driver failed programming external connectivity: Bind for 0.0.0.0:8000 failed: port is already allocated',
      'port-taken',
    ],
  ] as const)('%s', (message, kind) => {
    expect(kindOfDaemonMessage(message, null)).toBe(kind);
  });
});
