/** The signals that end a run, with the exit code a shell expects for each (128 + number). */
export const interruptExitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
export type InterruptSignal = keyof typeof interruptExitCodes;
