/** What a child engine may see of our own environment: how to find programs, libraries, files and models. */
const allowedNames: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'CUDA_HOME',
  'CUDA_PATH',
  'VIRTUAL_ENV',
  'XDG_CACHE_HOME',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'REQUESTS_CA_BUNDLE',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_HUB_OFFLINE',
  'HF_ENDPOINT',
  'HF_TOKEN',
  'HF_TOKEN_PATH',
  'TRANSFORMERS_OFFLINE',
]);

/**
 * The whole environment of an engine that runs as a child process: an allow-list of ours, and the launch
 * spec's own variables with the run's mark. None of our settings gets through: VLLM_PORT above all, which
 * vLLM itself reads as the port of its distributed back end. CUDA_VISIBLE_DEVICES is the launch spec's to say.
 */
export function engineEnvironment(
  ours: NodeJS.ProcessEnv,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(ours)) {
    if (value !== undefined && (allowedNames.has(name) || name.startsWith('LC_'))) environment[name] = value;
  }
  return { ...environment, ...own };
}
