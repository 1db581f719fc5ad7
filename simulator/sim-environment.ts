import { z } from 'zod';
import { type FaultRole, parseFaults, type SimFaults } from './faults.js';

/** The simulator's own options: SIM_* variables at start, POST /sim/control later. */
export interface SimSettings {
  /** Name of the hardware profile. */
  readonly profile: string;
  /** Simulated seconds per wall second, above 0. */
  readonly speed: number;
  readonly fault: SimFaults;
}

export const DEFAULT_PROFILE = 'h200';
export const DEFAULT_SPEED = 10;

/** Speeds outside this range are typing errors, not wishes: beyond it no server keeps its schedule. */
const speedSchema = z.coerce.number().gt(0).max(1000);

/** A SIM_* variable or a field of POST /sim/control holds something that is not allowed. */
export class SimSettingError extends Error {
  override readonly name = 'SimSettingError';
}

/** The faults meant for a server of this role. @param everything entries without a role too. @throws SimSettingError */
export function parseSimFaults(text: string, role: FaultRole, everything = false): SimFaults {
  try {
    return parseFaults(text, role, everything);
  } catch (error) {
    throw new SimSettingError(error instanceof Error ? error.message : String(error));
  }
}

/** Simulated seconds per wall second. @throws SimSettingError for anything but a number in (0, 1000]. */
export function parseSimSpeed(value: string | number): number {
  const parsed = speedSchema.safeParse(value === '' ? Number.NaN : value);
  if (!parsed.success) throw new SimSettingError(`SIM_SPEED is "${value}"; it must be a number above 0, at most 1000.`);
  return parsed.data;
}

/**
 * Reads SIM_PROFILE, SIM_SPEED and SIM_FAULT; empty counts as unset.
 * @param role the server that reads them. @throws SimSettingError
 */
export function readSimEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  role: FaultRole,
): SimSettings {
  return {
    profile: environment.SIM_PROFILE || DEFAULT_PROFILE,
    speed: environment.SIM_SPEED ? parseSimSpeed(environment.SIM_SPEED) : DEFAULT_SPEED,
    fault: parseSimFaults(environment.SIM_FAULT ?? '', role),
  };
}

/** Headers that every answer of a simulated server carries, so that no client takes it for a measurement. */
export function simulatedHeaders(settings: Pick<SimSettings, 'profile' | 'speed'>): Readonly<Record<string, string>> {
  return { 'x-lmcache-ci-simulated': settings.profile, 'x-lmcache-ci-sim-speed': String(settings.speed) };
}
