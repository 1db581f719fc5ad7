/** Variables with these prefixes extend the engines' environment: `VLLM_ENV_PYTHONPATH=x` gives both vLLMs PYTHONPATH=x. */
export const variablePrefixes = { vllm: 'VLLM_ENV_', lmcache: 'LMCACHE_ENV_' } as const;

/** What the launch itself decides, each with what decides it. */
const decidedElsewhere: Readonly<Record<string, string>> = {
  CUDA_VISIBLE_DEVICES: 'the run chooses the GPUs',
  CUDA_DEVICE_ORDER: 'the run chooses the GPUs',
  VLLM_BATCH_INVARIANT: 'set BATCH_INVARIANT',
  LMCACHE_CI_BUILD_ID: 'it marks the processes of a run',
};

/** Whether a variable is meant for the engines. */
export function isEngineVariable(name: string): boolean {
  return Object.values(variablePrefixes).some((prefix) => name.startsWith(prefix));
}

/** What is wrong with the name of such a variable, or null. */
export function engineVariableProblem(name: string): string | null {
  const inner = innerName(name);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(inner)) return `"${inner}" is no name of a variable`;
  const why = decidedElsewhere[inner];
  return why === undefined ? null : `${inner} cannot be given to an engine: ${why}`;
}

/** The variables of one prefix out of all settings, without it. */
export function engineVariables(
  settings: Readonly<Record<string, unknown>>,
  prefix: (typeof variablePrefixes)[keyof typeof variablePrefixes],
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      name.startsWith(prefix) && typeof value === 'string' ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}

function innerName(name: string): string {
  const prefix = Object.values(variablePrefixes).find((candidate) => name.startsWith(candidate)) ?? '';
  return name.slice(prefix.length);
}
