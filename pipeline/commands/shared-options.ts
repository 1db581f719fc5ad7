// Options of several commands, in the same words.

/** How a trace is to be read: `traces`, `cache-simulation`. */
export const traceOptions = {
  format: {
    type: 'string',
    requiresArg: true,
    describe:
      'Form of the trace: conversation-csv, azure-csv, mooncake, sharegpt, server-log [default: told by its content]',
  },
  'block-tokens': { type: 'string', requiresArg: true, describe: 'mooncake: tokens a hash id [default: 512]' },
  'seconds-per-unit': {
    type: 'string',
    requiresArg: true,
    describe: 'mooncake: seconds a unit of the timestamps [default: 0.001]',
  },
} as const;

/** What sweeps know: `sweep`, `models`, `environments`. */
export const modelsOption = {
  type: 'string',
  array: true,
  requiresArg: true,
  describe: 'File with further models and environments [default: lmcache-ci.models.yaml or .ts, where it is]',
} as const;

/** Which environment a sweep takes: `sweep`, `environments`. */
export const environmentOption = {
  type: 'string',
  requiresArg: true,
  describe: "Environment of the servers [default: the user's, else LMCACHE]",
} as const;
