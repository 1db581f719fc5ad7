import { describe, expect, test } from 'vitest';
import type { BuildEvent } from '../../docker/build-progress.js';
import { type BuildFailure, type BuildOutcome, buildImage } from '../../docker/image-build.js';
import { dockerBench, execute, writeContext } from './support.js';

const bench = dockerBench();
const tag = (stem: string): string => `lmcache-ci/test-${bench.image.split(':')[1] ?? ''}:${stem}`;

async function build(
  files: Readonly<Record<string, string>>,
  more: { tag?: string; target?: string; signal?: AbortSignal; onEvent?: (event: BuildEvent) => void } = {},
): Promise<BuildOutcome> {
  return await buildImage(
    bench.host,
    {
      contextDirectory: await writeContext(bench.directory, files),
      dockerfile: 'Dockerfile',
      tag: more.tag ?? tag('never'),
      target: more.target ?? null,
      buildArgs: { WORD: 'argument' },
    },
    {
      signal: more.signal ?? new AbortController().signal,
      execute,
      timeoutMs: 60_000,
      ...(more.onEvent === undefined ? {} : { onEvent: more.onEvent }),
    },
  );
}

async function failure(outcome: Promise<BuildOutcome>): Promise<BuildFailure> {
  const ended = await outcome;
  if (ended.status === 'built') throw new Error('the build was expected to fail');
  expect(await bench.host.findImage(tag('never'))).toBeNull();
  return ended.failure;
}

const run = (script: string): string => `RUN ["/usr/local/bin/node", "-e", ${JSON.stringify(script)}]`;

describe('an image build by the daemon', () => {
  test('with build arguments, a cache mount and an ignore file; the output is decoded', async () => {
    const events: BuildEvent[] = [];
    const show = "console.log(process.env.WORD, require('fs').readdirSync('/context').join());";
    const outcome = await build(
      {
        Dockerfile: `FROM ${bench.image} AS image-build\nARG WORD\nENV WORD=$WORD\nCOPY . /context\nRUN --mount=type=cache,target=/cache ["/usr/local/bin/node", "-e", ${JSON.stringify(show)}]\nFROM image-build AS last\n${run('process.exit(9)')}\n`,
        '.dockerignore': 'secret*\n!secret.txt\n',
        kept: '',
        'secret.key': '',
        'secret.txt': '',
      },
      { tag: tag('ok'), target: 'image-build', onEvent: (event) => events.push(event) },
    );
    if (outcome.status === 'failed') throw new Error(JSON.stringify(outcome.failure));
    expect((await bench.host.findImage(tag('ok')))?.id).toBe(outcome.imageId);
    const lines = events.flatMap((event) => (event.kind === 'log' ? [event.line] : []));
    expect(lines).toEqual(['argument .dockerignore,Dockerfile,kept,secret.txt']);
    await bench.host.removeImage(tag('ok'));
  });

  test('twice gives the same image, and is a success both times', async () => {
    const files = { Dockerfile: `FROM ${bench.image}\nCOPY a /a\n`, a: 'same' };
    const first = await build(files, { tag: tag('twice') });
    const second = await build(files, { tag: tag('twice') });
    expect(first.status).toBe('built');
    expect(second).toEqual(first);
    await bench.host.removeImage(tag('twice'));
  });

  test('RUN exits with 1', async () => {
    const script = "console.log('out line'); console.error('err line'); process.exitCode = 1";
    expect(await failure(build({ Dockerfile: `FROM ${bench.image}\n${run(script)}\n` }))).toMatchObject({
      kind: 'build-failed',
      message: expect.stringContaining('exit code: 1'),
      step: expect.stringMatching(/^\[2\/2\] RUN/),
      lastLines: expect.arrayContaining(['out line', 'err line']),
    });
  });

  test('COPY of a missing file', async () => {
    expect(await failure(build({ Dockerfile: `FROM ${bench.image}\nCOPY nosuch /x\n` }))).toMatchObject({
      kind: 'build-failed',
      message: expect.stringContaining('"/nosuch"'),
      step: '[2/2] COPY nosuch /x',
    });
  });

  test('a word that is no instruction', async () => {
    expect(await failure(build({ Dockerfile: `FROM ${bench.image}\nCOPPY a b\n` }))).toMatchObject({
      kind: 'build-failed',
      message: expect.stringMatching(/line 2: unknown instruction: COPPY/),
      step: null,
    });
  });

  test('a target that is not in the Dockerfile', async () => {
    const outcome = build({ Dockerfile: `FROM ${bench.image}\n` }, { target: 'image-build' });
    expect(await failure(outcome)).toMatchObject({
      kind: 'build-failed',
      message: expect.stringContaining('image-build'),
    });
  });

  test('a base image that no registry has', async () => {
    expect(await failure(build({ Dockerfile: 'FROM registry.invalid/nosuch:1\nCOPY a /a\n' }))).toMatchObject({
      kind: 'image-missing',
      message: expect.stringContaining('"registry.invalid/nosuch:1"'),
    });
  });

  test('no Dockerfile', async () => {
    expect(await failure(build({ a: '' }))).toMatchObject({
      kind: 'build-failed',
      message: expect.stringContaining('Dockerfile'),
    });
  });

  test('an abort stops the running step', async () => {
    const abort = new AbortController();
    const outcome = build(
      { Dockerfile: `FROM ${bench.image}\n${run("console.log('waiting'); setInterval(() => {}, 1000)")}\n` },
      {
        signal: abort.signal,
        onEvent: (event) => {
          if (event.kind === 'log' && event.line === 'waiting') abort.abort();
        },
      },
    );
    expect(await failure(outcome)).toMatchObject({
      kind: 'aborted',
      step: expect.stringMatching(/^\[2\/2\] RUN/),
      lastLines: ['waiting'],
    });
  });
});
