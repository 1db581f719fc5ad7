import { z } from 'zod';
import { failureCauseSchema, failureReasonSchema } from '../results-schema/step-result.js';
import { EngineStartError } from './errors.js';
import {
  engineRoleSchema,
  launchSpecSchema,
  liveEngineSchema,
  liveRunSchema,
  processGroupSchema,
  reservedGpuSchema,
} from './live-run.js';

/**
 * The keeper's language: one JSON object a line, the same on its stdin/stdout (its orchestrator) and on its
 * socket (processes that joined). Every request is answered once, by `id`; events come in between.
 */
const id = z.int().nonnegative();

export const keeperRequestSchema = z.discriminatedUnion('op', [
  /** The first request of an orchestrator: take over this run (its record stands in the registry already). */
  z.object({ id, op: z.literal('open'), run: liveRunSchema, stopGraceMs: z.int().nonnegative() }),
  /** The first request where nothing is launched: only look after process groups. */
  z.object({ id, op: z.literal('guard') }),
  /** Answered at once, whatever the keeper is at. */
  z.object({ id, op: z.literal('ping') }),
  /** The first request on the socket; answered by the whole record. */
  z.object({ id, op: z.literal('join') }),
  z.object({ id, op: z.literal('start'), spec: launchSpecSchema }),
  /** The engine serves. */
  z.object({ id, op: z.literal('ready'), role: engineRoleSchema }),
  /** Ends one engine; its role is free again. */
  z.object({ id, op: z.literal('stop'), role: engineRoleSchema }),
  z.object({ id, op: z.literal('own'), group: processGroupSchema }),
  z.object({ id, op: z.literal('disown'), pgid: z.int().positive() }),
  /** A temporary directory that is about to be made: it goes with the run, or with the step that joined. */
  z.object({ id, op: z.literal('own-directory'), directory: z.string().min(1) }),
  /**
   * Sent under the registry's lock, so that the record holds the GPUs before anyone else looks. The keeper claims them for the
   * machine, too, in place of those that it has claimed before.
   */
  z.object({ id, op: z.literal('claim'), gpus: z.array(reservedGpuSchema).readonly() }),
  /** Without `ttlMs` it stays until somebody ends it. */
  z.object({ id, op: z.literal('detach'), ttlMs: z.number().positive().optional() }),
  /** `verdictFollows`: of an orchestrator that is not done yet; who vanishes now has still lost its run. */
  z.object({ id, op: z.literal('release'), verdictFollows: z.boolean().optional() }),
]);
export type KeeperRequest = z.infer<typeof keeperRequestSchema>;

export const releaseReportSchema = z.object({
  removed: z.array(z.string()).readonly(),
  forced: z.array(z.string()).readonly(),
  problems: z.array(z.string()).readonly(),
});

export const keeperErrorSchema = z.object({
  message: z.string(),
  failureCause: failureCauseSchema,
  reason: failureReasonSchema,
  evidence: z.array(z.string()).readonly(),
});
export type KeeperError = z.infer<typeof keeperErrorSchema>;

export const keeperAnswerSchema = z.union([
  z.object({
    id,
    ok: z.literal(true),
    /** Of `join`. */
    run: liveRunSchema.optional(),
    /** Of `release`. */
    report: releaseReportSchema.optional(),
    /** Of `claim`: the uuid of a GPU that a run of another registry has claimed; nothing has changed then. */
    taken: z.string().optional(),
  }),
  z.object({ id, ok: z.literal(false), error: keeperErrorSchema }),
  /** An engine's state has changed. */
  z.object({ event: z.literal('engine'), role: engineRoleSchema, engine: liveEngineSchema }),
  /** The keeper has begun to stop an engine. */
  z.object({ event: z.literal('stopping'), role: engineRoleSchema }),
]);
export type KeeperAnswer = z.infer<typeof keeperAnswerSchema>;

type WithoutId<Request> = Request extends KeeperRequest ? Omit<Request, 'id'> : never;
/** A request before the client has numbered it. */
export type KeeperRequestBody = WithoutId<KeeperRequest>;

export type ParsedRequest =
  | { readonly ok: true; readonly request: KeeperRequest }
  | { readonly ok: false; readonly id: number; readonly message: string };

/** One line of a client. Never throws: what is wrong with it goes back to the client. */
export function parseKeeperRequest(line: string): ParsedRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { ok: false, id: 0, message: `Not a JSON line: "${line.slice(0, 200)}"` };
  }
  const parsed = keeperRequestSchema.safeParse(value);
  if (parsed.success) return { ok: true, request: parsed.data };
  const named = z.object({ id }).safeParse(value);
  return {
    ok: false,
    id: named.success ? named.data.id : 0,
    message: `Not a request: ${z.prettifyError(parsed.error)}`,
  };
}

/** An error as it travels to the client, which makes an EngineStartError of it again. */
export function keeperErrorOf(error: unknown): KeeperError {
  if (error instanceof EngineStartError) {
    const { message, failureCause, reason, evidence } = error;
    return { message, failureCause, reason, evidence };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, failureCause: 'exception', reason: 'unknown', evidence: [] };
}
