export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Whether a value out of JSON is an object. What every measurement loads before its first request checks by hand: zod
 * takes longer to load than the rest of the client.
 */
export function isRecord(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
