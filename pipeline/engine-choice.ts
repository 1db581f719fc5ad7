import type { RunFacts } from '../steps/step.js';

export type EngineSetting = 'auto' | RunFacts['engine'];
export type RuntimeSetting = 'auto' | RunFacts['runtime'];

/** What the machine offers; asked only when the choice depends on it. Each null means yes, a text says why not. */
export interface MachineProbes {
  dockerMissing(): Promise<string | null>;
  gpusMissing(): Promise<string | null>;
  vllmMissing(): Promise<string | null>;
  /** Whether the servers of RUNTIME=external say that they are simulated. */
  externalIsSimulated(): Promise<boolean>;
}

export type EngineChoice =
  | {
      readonly chosen: true;
      readonly engine: RunFacts['engine'];
      readonly runtime: RunFacts['runtime'];
      readonly why: string | null;
    }
  /** No GPU on a CI machine: never a silent simulation. */
  | { readonly chosen: false; readonly message: string };

/**
 * `ENGINE=auto` takes the real engine where it can run, else the simulator on the process runtime.
 * On CI that fall-back is refused: a missing GPU there is an infrastructure failure.
 */
export async function chooseEngine(
  engine: EngineSetting,
  runtime: RuntimeSetting,
  isCi: boolean,
  probes: MachineProbes,
): Promise<EngineChoice> {
  if (runtime === 'external') {
    const simulated = engine === 'sim' || (engine === 'auto' && (await probes.externalIsSimulated()));
    return { chosen: true, engine: simulated ? 'sim' : 'vllm', runtime, why: null };
  }
  if (engine === 'sim')
    return { chosen: true, engine, runtime: runtime === 'auto' ? 'process' : runtime, why: 'ENGINE=sim' };
  if (engine === 'vllm') return { chosen: true, engine, runtime: runtime === 'auto' ? 'docker' : runtime, why: null };

  const onProcesses = runtime === 'process';
  const missing = (await (onProcesses ? probes.vllmMissing() : probes.dockerMissing())) ?? (await probes.gpusMissing());
  if (missing === null) return { chosen: true, engine: 'vllm', runtime: onProcesses ? 'process' : 'docker', why: null };
  if (isCi) {
    return {
      chosen: false,
      message: `No engine to test: ${missing} On CI nothing is simulated silently; set ENGINE=sim to run on the simulator.`,
    };
  }
  return { chosen: true, engine: 'sim', runtime: runtime === 'auto' ? 'process' : runtime, why: missing };
}
