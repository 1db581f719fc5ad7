import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { EngineEndpoint, Fleet, UnexpectedExit } from '../../engines/fleet.js';
import type { EngineRole } from '../../engines/launch-spec.js';
import type { RunEventInput } from '../../results-schema/events.js';
import type { ResultsDirectory } from '../../results-schema/results-directory.js';
import { createResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { type CommonSettings, commonSettings } from '../../steps/common-settings.js';
import type { SettingDefinitions, SettingValues } from '../../steps/settings.js';
import type { OwnedProcessOptions, OwnedProcessResult, Step, StepContext } from '../../steps/step.js';

export interface FakeContextOptions<Values> {
  readonly settings: CommonSettings & Values;
  readonly urls: Readonly<Partial<Record<EngineRole, string>>>;
  readonly unexpectedExit?: () => UnexpectedExit | null;
  readonly signal?: AbortSignal;
  readonly engine?: 'vllm' | 'sim';
  readonly runtime?: 'process' | 'external';
  readonly execute?: (command: readonly string[], options?: OwnedProcessOptions) => Promise<OwnedProcessResult>;
  readonly setupVenv?: StepContext<Values>['setupVenv'];
}

export interface FakeContext<Values> extends StepContext<Values> {
  readonly lines: string[];
  readonly workloads: string[];
  readonly events: RunEventInput[];
  dispose(): Promise<void>;
}

/** The defaults of common settings and a step's own, some replaced. */
export function settingsFor<Definitions extends SettingDefinitions>(
  step: Pick<Step<Definitions>, 'settings'>,
  changed: Partial<CommonSettings & SettingValues<Definitions>> = {},
): CommonSettings & SettingValues<Definitions> {
  const definitions = Object.entries({ ...commonSettings, ...step.settings });
  const defaults = Object.fromEntries(definitions.map(([name, { default: value }]) => [name, value]));
  // The defaults of a definition have the definition's type: that is what SettingValues says.
  return { ...defaults, ...changed } as unknown as CommonSettings & SettingValues<Definitions>;
}

export async function fakeContext<Values>(options: FakeContextOptions<Values>): Promise<FakeContext<Values>> {
  const parent = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-test-'));
  const results: ResultsDirectory = await createResultsDirectory(path.join(parent, 'results'), {
    buildId: 'test',
    isLive: () => Promise.resolve(false),
  });
  const lines: string[] = [];
  const workloads: string[] = [];
  const events: RunEventInput[] = [];
  return {
    settings: options.settings,
    run: {
      buildId: 'test',
      engine: options.engine ?? 'sim',
      runtime: options.runtime ?? 'process',
      workspace: parent,
    },
    results,
    fleet: fakeFleet(options),
    progress: { log: (line) => lines.push(line), warn: (line) => lines.push(`warning: ${line}`), update: () => {} },
    signal: options.signal ?? new AbortController().signal,
    emit: (event) => events.push(event),
    setupVenv: options.setupVenv ?? (() => Promise.reject(new Error('no virtual environment in this test'))),
    temporaryDirectory: (purpose) => mkdtemp(path.join(parent, `${purpose}-`)),
    execute: options.execute ?? (() => Promise.reject(new Error('no programs in this test'))),
    workload: (name, target, work) => {
      workloads.push(`${name} on ${target}`);
      return work();
    },
    lines,
    workloads,
    events,
    dispose: () => rm(parent, { recursive: true, force: true }),
  };
}

function fakeFleet<Values>({ urls, unexpectedExit }: FakeContextOptions<Values>): Fleet {
  const find = (role: EngineRole): EngineEndpoint | null => {
    const baseUrl = urls[role];
    return baseUrl === undefined ? null : { role, baseUrl, containerName: null, logPath: null };
  };
  const unused = () => Promise.reject(new Error('not in this test'));
  return {
    find,
    require: (role) => {
      const endpoint = find(role);
      if (endpoint === null) {
        throw new Error(`no ${role}`);
      }
      return endpoint;
    },
    unexpectedExit: () => Promise.resolve(unexpectedExit?.() ?? null),
    logTail: () => Promise.resolve([]),
    state: () => ({ status: 'unstarted' }),
    launch: unused,
    reserveGpus: unused,
    waitUntilReady: unused,
    release: unused,
  };
}
