export const connectionRefused = 'connection refused';

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: connectionRefused,
  ECONNRESET: 'connection reset',
  ENOTFOUND: 'host not found',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
};

/** Why a server did not answer, in a few words. */
export function probeErrorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time';
  if (error instanceof AggregateError && error.errors.length > 0) return probeErrorText(error.errors[0]);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  return (code && words[code]) ?? error.message;
}
