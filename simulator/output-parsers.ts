import { EngineConfigError } from './engine-config-error.js';

/** Names that vLLM 0.26 registers, sorted as its messages list them. */
export const TOOL_PARSERS: readonly string[] = [
  'apertus',
  'cohere_command3',
  'cohere_command4',
  'deepseek_v3',
  'deepseek_v31',
  'deepseek_v32',
  'deepseek_v4',
  'ernie45',
  'functiongemma',
  'gemma4',
  'gigachat3',
  'glm45',
  'glm47',
  'granite',
  'granite-20b-fc',
  'granite4',
  'hermes',
  'hunyuan_a13b',
  'hy_v3',
  'inkling',
  'internlm',
  'jamba',
  'kimi_k2',
  'lfm2',
  'llama3_json',
  'llama4_json',
  'llama4_pythonic',
  'longcat',
  'mimo',
  'minicpm5',
  'minimax_m2',
  'minimax_m3',
  'mistral',
  'olmo3',
  'openai',
  'phi4_mini_json',
  'poolside_v1',
  'pythonic',
  'qwen3_coder',
  'qwen3_xml',
  'seed_oss',
  'step3',
  'step3p5',
  'xlam',
];

export const REASONING_PARSERS: readonly string[] = [
  'cohere_command3',
  'cohere_command4',
  'deepseek_r1',
  'deepseek_v3',
  'deepseek_v4',
  'ernie45',
  'gemma4',
  'glm45',
  'glm47',
  'granite',
  'holo2',
  'hunyuan_a13b',
  'hy_v3',
  'inkling',
  'kimi_k2',
  'mimo',
  'minimax_m2',
  'minimax_m2_append_think',
  'minimax_m3',
  'mistral',
  'nemotron_v3',
  'olmo3',
  'openai_gptoss',
  'poolside_v1',
  'qwen3',
  'seed_oss',
  'step3',
  'step3p5',
];

/** @throws EngineConfigError as vLLM's API server, which looks at the tools' parser only where it will be used. */
export function checkOutputParsers(names: { readonly tool: string | null; readonly reasoning: string | null }): void {
  const { tool, reasoning } = names;
  if (tool !== null && !TOOL_PARSERS.includes(tool)) throw unknownParser('tool call', tool, TOOL_PARSERS);
  if (reasoning && !REASONING_PARSERS.includes(reasoning)) {
    throw unknownParser('reasoning', reasoning, REASONING_PARSERS);
  }
}

function unknownParser(kind: string, name: string, known: readonly string[]): EngineConfigError {
  return new EngineConfigError(`'invalid ${kind} parser: ${name} (chose from { ${known.join(',')} })'`, 'KeyError');
}
