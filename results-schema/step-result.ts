import { z } from 'zod';

/** Who is to blame for a failed step; `unknown` shows the log instead of guessing. */
export const failureReasonSchema = z.enum([
  'regression',
  'incorrect-output',
  'cache-not-exercised',
  'infrastructure',
  'configuration',
  'cancelled',
  'unknown',
]);
export type FailureReason = z.infer<typeof failureReasonSchema>;

/** How it ended. The first cause wins and is kept. */
export const failureCauseSchema = z.enum([
  'threshold',
  'output-differs',
  'request-failed',
  'timeout',
  'signal',
  'engine-died',
  'engine-unreachable',
  'orchestrator-lost',
  'build-failed',
  'image-missing',
  'daemon-unreachable',
  'port-taken',
  'no-gpu',
  'out-of-memory',
  'disk',
  'tool-missing',
  'bad-value',
  'exception',
]);
export type FailureCause = z.infer<typeof failureCauseSchema>;

/**
 * One judged (or merely reported) number of a step.
 * `measured` is null when it could not be measured: such a verdict never passes.
 * `marginPercent` is how far inside (positive) or outside (negative) the threshold the measured value lies.
 */
export const verdictSchema = z.object({
  name: z.string(),
  title: z.string(),
  unit: z.string(),
  measured: z.number().nullable(),
  comparison: z.enum(['<=', '>=', '==', '<', '>']).nullable(),
  threshold: z.number().nullable(),
  marginPercent: z.number().nullable(),
  outcome: z.enum(['passed', 'failed', 'inconclusive', 'reported']),
  note: z.string().optional(),
});
export type Verdict = z.infer<typeof verdictSchema>;

const judged = { verdicts: z.array(verdictSchema) };

/** What a step returns. Expected failures are returned, bugs are thrown. */
export const stepResultSchema = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('passed'), ...judged, message: z.string().optional() }),
  z.object({
    outcome: z.literal('failed'),
    reason: failureReasonSchema,
    cause: failureCauseSchema,
    message: z.string(),
    /** Lines that prove it: log tails, differing samples, the port's owner. */
    evidence: z.array(z.string()),
    ...judged,
  }),
  z.object({
    outcome: z.literal('inconclusive'),
    reason: z.enum(['client-overloaded', 'too-few-samples', 'noise']),
    message: z.string(),
    ...judged,
  }),
  z.object({ outcome: z.literal('skipped'), why: z.string() }),
]);
export type StepResult = z.infer<typeof stepResultSchema>;
