/** Which server of a run an entry of SIM_FAULT is meant for: the LMCache server, the vLLM that uses it, the one that does not. */
export const FAULT_ROLES = ['lmcache', 'vllm', 'baseline'] as const;
export type FaultRole = (typeof FAULT_ROLES)[number];

interface FaultSpec {
  /** What stands after `=`; `flag` takes nothing, a fault with a `byDefault` may do without. */
  readonly value: 'flag' | 'percent' | 'count' | 'seconds';
  readonly byDefault?: number;
  /** True: an entry without a role is meant for the LMCache server too. */
  readonly alsoCacheServer?: boolean;
  readonly meaning: string;
}

/** Every fault by name. docs/simulator.md shows this table; a test compares the two. */
export const FAULTS = {
  slower: { value: 'percent', meaning: 'engine steps take this much longer' },
  'slower-loads': { value: 'percent', meaning: 'loads from the cache tier take this much longer' },
  noise: {
    value: 'percent',
    meaning: 'each step is multiplied by a log-normal factor of mean 1 and this standard deviation',
  },
  'correlated-noise': {
    value: 'percent',
    meaning: 'as noise, but the factor changes slowly (correlation time: 1 simulated second of steps)',
  },
  drift: { value: 'percent', meaning: 'steps get this much slower with each simulated minute of steps' },
  outliers: { value: 'percent', meaning: 'this share of the steps takes ten times as long' },
  seed: { value: 'count', meaning: 'seed of all that is drawn by lot; 0 if left out' },
  'no-cache': { value: 'flag', alsoCacheServer: true, meaning: 'the cache tier stores nothing and finds nothing' },
  'wrong-text-from-cache': {
    value: 'percent',
    byDefault: 100,
    meaning: 'this share of the prompts gets other text when, and only when, it was served from the cache tier',
  },
  'crash-after': { value: 'count', meaning: 'dies with a traceback (exit code 1) when request N+1 is served' },
  'kill-after': { value: 'count', meaning: 'ends by SIGKILL, as the kernel ends it (137), when request N+1 is served' },
  'hang-after': { value: 'count', meaning: 'request N+1 and all after it get no token; /health goes on answering' },
  'http-hang': { value: 'flag', meaning: 'no HTTP request is answered, /health included' },
  'slow-start': { value: 'seconds', meaning: 'starts this many wall seconds later' },
  'oom-at-start': {
    value: 'flag',
    meaning: "runs out of memory while it starts, with PyTorch's message (exit code 1)",
  },
  'gpu-busy-at-start': {
    value: 'flag',
    meaning: "finds the GPU's memory taken while it starts, with vLLM's message (exit code 1)",
  },
  'http-503': { value: 'percent', byDefault: 100, meaning: 'this share of the requests is answered 503' },
  'health-503': { value: 'flag', meaning: 'the health check answers 503' },
  garbage: { value: 'percent', byDefault: 100, meaning: 'this share of the answers is random bytes, with status 200' },
  'half-json': {
    value: 'percent',
    byDefault: 100,
    meaning: 'this share of the answers ends in the middle of its JSON',
  },
  'stream-cut': {
    value: 'percent',
    byDefault: 100,
    meaning: 'the connection of this share of the answers breaks after the third event, or half of a whole body',
  },
  'endless-stream': {
    value: 'percent',
    byDefault: 100,
    meaning: 'this share of the answers never ends: tokens follow as long as the client stays',
  },
} as const satisfies Readonly<Record<string, FaultSpec>>;

export type FaultName = keyof typeof FAULTS;

/** The faults a server plays now, each with its number (1 for a flag). */
export interface SimFaults {
  readonly values: ReadonlyMap<FaultName, number>;
  /** As SIM_FAULT takes them, without roles: `slower=20,noise=5`, or `none`. */
  readonly text: string;
}

export const NO_FAULTS: SimFaults = { values: new Map(), text: 'none' };

/** Words on what SIM_FAULT takes. */
export const FAULT_SYNTAX = `none, or a list such as "slower=20,noise=5": each one of ${Object.entries<FaultSpec>(
  FAULTS,
)
  .map(([name, spec]) => name + valueText(spec))
  .join(', ')}; "${FAULT_ROLES.join(':", "')}:" before one means that server only`;

function valueText({ value, byDefault }: FaultSpec): string {
  if (value === 'flag') return '';
  const shown = { percent: 'PERCENT', count: 'N', seconds: 'SECONDS' }[value];
  return byDefault === undefined ? `=${shown}` : `[=${shown}]`;
}

/** Greatest number of each kind; a percentage may be above 100 only where something is slowed. */
const LARGEST = { flag: 1, percent: 10_000, count: 999_999_999, seconds: 86_400 } as const;
const SHARES: ReadonlySet<FaultName> = new Set<FaultName>([
  'wrong-text-from-cache',
  'http-503',
  'garbage',
  'half-json',
  'stream-cut',
  'endless-stream',
  'outliers',
]);

/**
 * Reads a list of faults.
 * @param role the server that asks; entries for others are left out.
 * @param everything true: entries without a role are meant for this server, whatever it is (POST /sim/control).
 * @throws Error with the entry in quotes.
 */
export function parseFaults(text: string, role: FaultRole, everything = false): SimFaults {
  const values = new Map<FaultName, number>();
  for (const entry of text.split(',').map((part) => part.trim())) {
    if (entry === '' || entry === 'none') continue;
    const { name, value, target } = parseEntry(entry);
    if (isMeant(name, target, role, everything)) values.set(name, value);
  }
  return { values, text: formatFaults(values) };
}

function isMeant(name: FaultName, target: FaultRole | null, role: FaultRole, everything: boolean): boolean {
  if (target !== null) return target === role;
  const spec: FaultSpec = FAULTS[name];
  return everything || role !== 'lmcache' || spec.alsoCacheServer === true;
}

function parseEntry(entry: string): { name: FaultName; value: number; target: FaultRole | null } {
  const match = /^(?:([a-z]+):)?([a-z0-9-]+?)(?:=([0-9.]+)%?)?$/.exec(entry);
  const [, role, word = '', number] = match ?? [];
  const target = FAULT_ROLES.find((known) => known === role) ?? null;
  if (match === null || !isFaultName(word) || (role !== undefined && target === null)) throw refused(entry);
  const spec: FaultSpec = FAULTS[word];
  if (spec.value === 'flag' && number !== undefined) throw refused(entry);
  const value = number === undefined ? (spec.value === 'flag' ? 1 : spec.byDefault) : Number(number);
  const largest = SHARES.has(word) ? 100 : LARGEST[spec.value];
  const isWhole = spec.value !== 'count' || Number.isInteger(value);
  if (value === undefined || !(value >= 0 && value <= largest) || !isWhole) throw refused(entry);
  return { name: word, value, target };
}

function isFaultName(word: string): word is FaultName {
  return Object.hasOwn(FAULTS, word);
}

function refused(entry: string): Error {
  return new Error(`SIM_FAULT is "${entry}"; allowed are ${FAULT_SYNTAX}.`);
}

function formatFaults(values: ReadonlyMap<FaultName, number>): string {
  const entries = [...values].map(([name, value]) => {
    const spec: FaultSpec = FAULTS[name];
    return spec.value === 'flag' || value === spec.byDefault ? name : `${name}=${value}`;
  });
  return entries.length === 0 ? 'none' : entries.join(',');
}

/** The same grammar as a pattern, for settings that are checked where no server runs. */
export const FAULT_PATTERN = new RegExp(`^(none|${entryPattern()}(,${entryPattern()})*)$`);

function entryPattern(): string {
  const names = Object.entries<FaultSpec>(FAULTS).map(([name, { value, byDefault }]) => {
    if (value === 'flag') return name;
    const number = value === 'count' ? '=[0-9]{1,9}' : '=[0-9]{1,5}([.][0-9]+)?';
    return byDefault === undefined ? name + number : `${name}(${number})?`;
  });
  return `((${FAULT_ROLES.join('|')}):)?(${names.join('|')})`;
}
