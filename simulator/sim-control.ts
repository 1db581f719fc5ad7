import { z } from 'zod';
import type { FaultRole, SimFaults } from './faults.js';
import { parseSimFaults, parseSimSpeed, SimSettingError } from './sim-environment.js';

const controlSchema = z.strictObject({
  fault: z.string().optional(),
  speed: z.union([z.number(), z.string()]).optional(),
});

/** What POST /sim/control can change while a simulated server runs. A list of faults replaces the one before it. */
export interface SimControlState {
  readonly profile: string;
  readonly role: FaultRole;
  speed: number;
  fault: SimFaults;
}

export type SimControlResult =
  | { readonly kind: 'applied'; readonly view: { profile: string; speed: number; fault: string } }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Applies a body such as `{"fault": "no-cache"}` or `{"speed": 5}`; an empty one only asks for the present state.
 * Nothing changes when any field is wrong.
 */
export function applySimControl(state: SimControlState, body: string): SimControlResult {
  try {
    const wanted = controlSchema.parse(body.trim() === '' ? {} : JSON.parse(body));
    const fault = wanted.fault === undefined ? state.fault : parseSimFaults(wanted.fault, state.role, true);
    const speed = wanted.speed === undefined ? state.speed : parseSimSpeed(wanted.speed);
    state.fault = fault;
    state.speed = speed;
    return { kind: 'applied', view: { profile: state.profile, speed, fault: fault.text } };
  } catch (error) {
    if (error instanceof SimSettingError) return { kind: 'refused', message: error.message };
    return {
      kind: 'refused',
      message: `POST /sim/control takes {"fault": text, "speed": number}, both optional; got "${body.slice(0, 200)}"`,
    };
  }
}
