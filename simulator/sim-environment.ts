import { z } from 'zod';

/** A fault the simulator plays on purpose, so that the suite's own gates can be seen to fail. */
export type SimFault =
  | { readonly kind: 'none' }
  /** LMCache tier: nothing is ever stored. */
  | { readonly kind: 'no-cache' }
  /** Engine: a prompt served from the LMCache tier is answered with other text. */
  | { readonly kind: 'wrong-text-from-cache' }
  /** Engine: dies (exit code 1) when the generation request after the first `requests` ones is scheduled. */
  | { readonly kind: 'crash-after'; readonly requests: number };

/** The simulator's own options: SIM_* variables at start, POST /sim/control later. */
export interface SimSettings {
  /** Name of the hardware profile. */
  readonly profile: string;
  /** Simulated seconds per wall second, above 0. */
  readonly speed: number;
  readonly fault: SimFault;
}

export const DEFAULT_PROFILE = 'h200';
export const DEFAULT_SPEED = 10;
const FAULT_SYNTAX = 'none, no-cache, wrong-text-from-cache or crash-after=N (N a whole number from 0)';

/** Speeds outside this range are typing errors, not wishes: beyond it no server keeps its schedule. */
const speedSchema = z.coerce.number().gt(0).max(1000);

/** A SIM_* variable or a field of POST /sim/control holds something that is not allowed. */
export class SimSettingError extends Error {
  override readonly name = 'SimSettingError';
}

/** `crash-after=3` -> fault. @throws SimSettingError naming what is allowed. */
export function parseSimFault(text: string): SimFault {
  if (text === '' || text === 'none') return { kind: 'none' };
  if (text === 'no-cache' || text === 'wrong-text-from-cache') return { kind: text };
  const crash = /^crash-after=(\d{1,9})$/.exec(text);
  if (crash) return { kind: 'crash-after', requests: Number(crash[1]) };
  throw new SimSettingError(`SIM_FAULT is "${text}"; allowed are ${FAULT_SYNTAX}.`);
}

/** The text form of a fault, as SIM_FAULT takes it. */
export function formatSimFault(fault: SimFault): string {
  return fault.kind === 'crash-after' ? `crash-after=${fault.requests}` : fault.kind;
}

/** Simulated seconds per wall second. @throws SimSettingError for anything but a number in (0, 1000]. */
export function parseSimSpeed(value: string | number): number {
  const parsed = speedSchema.safeParse(value === '' ? Number.NaN : value);
  if (!parsed.success) throw new SimSettingError(`SIM_SPEED is "${value}"; it must be a number above 0, at most 1000.`);
  return parsed.data;
}

/** Reads SIM_PROFILE, SIM_SPEED and SIM_FAULT; empty counts as unset. @throws SimSettingError */
export function readSimEnvironment(environment: Readonly<Record<string, string | undefined>>): SimSettings {
  return {
    profile: environment.SIM_PROFILE || DEFAULT_PROFILE,
    speed: environment.SIM_SPEED ? parseSimSpeed(environment.SIM_SPEED) : DEFAULT_SPEED,
    fault: parseSimFault(environment.SIM_FAULT ?? ''),
  };
}

/** Headers that every answer of a simulated server carries, so that no client takes it for a measurement. */
export function simulatedHeaders(settings: Pick<SimSettings, 'profile' | 'speed'>): Readonly<Record<string, string>> {
  return { 'x-lmcache-ci-simulated': settings.profile, 'x-lmcache-ci-sim-speed': String(settings.speed) };
}
