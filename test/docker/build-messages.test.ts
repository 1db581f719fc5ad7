import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseDaemonLine, parseRawJsonLine } from '../../docker/build-messages.js';
import { type BuildEvent, BuildProgress } from '../../docker/build-progress.js';
import { fixture } from './fixtures.js';

function replay(name: string): { events: BuildEvent[]; progress: BuildProgress; errors: string[] } {
  const events: BuildEvent[] = [];
  const errors: string[] = [];
  const progress = new BuildProgress((event) => events.push(event));
  for (const line of fixture(name).split('\n')) {
    const message = parseRawJsonLine(line);
    if (message.kind === 'status') progress.add(message.status);
    if (message.kind === 'error') errors.push(message.message);
  }
  return { events, progress, errors };
}

describe('docker buildx --progress=rawjson, recorded', () => {
  test('a RUN that fails: its step, both output streams decoded, the error', () => {
    const { events, progress, errors } = replay('buildx-rawjson-run-exit-1.stderr.txt');
    const step = '[2/2] RUN ["/tool", "exit", "1"]';
    expect(progress.failedStep).toEqual({
      step,
      message: 'executor failed running [/tool exit 1]: exit code: 1',
      lastLines: ['out line', 'err line'],
    });
    expect(events.filter(({ kind }) => kind === 'log')).toEqual([
      { kind: 'log', step, stream: 'stdout', line: 'out line' },
      { kind: 'log', step, stream: 'stderr', line: 'err line' },
    ]);
    expect(errors).toEqual(['failed to build: failed to solve: executor failed running [/tool exit 1]: exit code: 1']);
  });

  test('a build that succeeds: cached step, image id', () => {
    const { events, progress, errors } = replay('buildx-rawjson-ok.stderr.txt');
    expect(errors).toEqual([]);
    expect(progress.failedStep).toBeNull();
    expect(progress.currentStep).toBeNull();
    expect(events).toContainEqual({ kind: 'step-finished', step: '[1/1] COPY tool /tool', cached: true });
    expect([...progress.imageIds]).toEqual(['sha256:fc0858a2c38f03a0033f4b8814f61ca5173abac2bb63bb3295a6fb040ff1217d']);
    const started = events.filter(({ kind }) => kind === 'step-started').map(({ step }) => step);
    const finished = events.filter(({ kind }) => kind === 'step-finished').map(({ step }) => step);
    expect(new Set(started)).toEqual(new Set(finished.filter((step) => started.includes(step))));
    expect(new Set(finished).size).toBe(finished.length);
  });

  test('a COPY of a missing file', () => {
    const { progress } = replay('buildx-rawjson-copy-missing.stderr.txt');
    expect(progress.failedStep?.step).toBe('[1/1] COPY nosuch.txt /x');
    expect(progress.failedStep?.message).toContain('"/nosuch.txt" not found');
  });

  test('a Dockerfile that is none fails outside of any step', () => {
    const { progress, errors } = replay('buildx-rawjson-syntax.stderr.txt');
    expect(progress.failedStep).toBeNull();
    expect(errors[0]).toContain('dockerfile parse error line 2: unknown instruction: COPPY');
  });
});

describe("the daemon's BuildKit stream, recorded", () => {
  const recorded = z
    .record(
      z.string(),
      z.object({
        ok: z
          .looseObject({ last: z.array(z.unknown()).optional() })
          .optional()
          .catch(undefined),
      }),
    )
    .parse(JSON.parse(fixture('dockerode.json')));
  const last = (name: string): string[] => (recorded[name]?.ok?.last ?? []).map((line) => JSON.stringify(line));

  test('RUN output is decoded, and the failing step known', () => {
    const events: BuildEvent[] = [];
    const progress = new BuildProgress((event) => events.push(event));
    const messages = last('buildkit-run-exit-1').map(parseDaemonLine);
    for (const message of messages) if (message.kind === 'status') progress.add(message.status);
    expect(messages.at(-1)).toEqual({
      kind: 'error',
      message: 'executor failed running [/tool exit 1]: exit code: 1',
    });
    expect(progress.failedStep).toEqual({
      step: '[2/2] RUN ["/tool", "exit", "1"]',
      message: 'executor failed running [/tool exit 1]: exit code: 1',
      lastLines: ['out line', 'err line'],
    });
  });

  test('the image id is told', () => {
    expect(last('buildkit-ok').map(parseDaemonLine)).toContainEqual({
      kind: 'image-id',
      id: 'sha256:cecc05a0810d6449e863e04836c5ea4f497c924492c746ecef59aa0923cbf1c0',
    });
  });
});

describe('build progress', () => {
  const vertex = (digest: string, name: string, more: object = {}) => ({
    digest,
    name,
    started: true,
    completed: false,
    cached: false,
    error: '',
    ...more,
  });
  const status = (more: object) => ({ vertexes: [], statuses: [], logs: [], ...more });

  test('lines that arrive in pieces, with colours, progress bars and cut characters', () => {
    const lines: string[] = [];
    const progress = new BuildProgress((event) => {
      if (event.kind === 'log') lines.push(event.line);
    });
    progress.add(status({ vertexes: [vertex('a', '[1/1] RUN x')] }));
    const bytes = Buffer.from('10 %\r50 %\r100 %\n\u001b[91mrouge é\u001b[0m\nlast without end');
    for (const byte of bytes) {
      progress.add(status({ logs: [{ vertex: 'a', stream: 1, data: Buffer.from([byte]) }] }));
    }
    progress.add(status({ vertexes: [vertex('a', '[1/1] RUN x', { completed: true })] }));
    expect(lines).toEqual(['100 %', 'rouge é', 'last without end']);
  });

  test('of several steps that end with the failing one, the failing one is named', () => {
    const progress = new BuildProgress(() => {});
    progress.add(
      status({
        vertexes: [
          vertex('a', '[a 1/1] RUN slow', { completed: true, error: 'process did not complete: context canceled' }),
          vertex('b', '[b 1/1] RUN broken', { completed: true, error: 'exit code: 2' }),
        ],
      }),
    );
    expect(progress.failedStep?.step).toBe('[b 1/1] RUN broken');
  });

  test('keeps the last 50 lines', () => {
    const progress = new BuildProgress(() => {});
    const text = Array.from({ length: 200 }, (_, index) => `line ${index}\n`).join('');
    progress.add(status({ vertexes: [vertex('a', 'a')], logs: [{ vertex: 'a', stream: 1, data: Buffer.from(text) }] }));
    expect(progress.lastLines).toHaveLength(50);
    expect(progress.lastLines.at(-1)).toBe('line 199');
  });

  test('what is not a status is text', () => {
    expect(parseRawJsonLine('WARNING: no output specified')).toEqual({
      kind: 'text',
      text: 'WARNING: no output specified',
    });
    expect(parseDaemonLine('{"stream":"Successfully tagged a:b\\n"}')).toEqual({
      kind: 'text',
      text: 'Successfully tagged a:b',
    });
  });
});
