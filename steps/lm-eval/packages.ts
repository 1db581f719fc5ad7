/**
 * Exact versions of lm_eval and of what its way to a completions API is made of. What else it pulls in
 * (numpy, pandas, ...) differs between versions of Python, so that no one pin fits. transformers is not
 * needed: prompts are sent as text (`tokenizer_backend=None`).
 */
export const lmEvalVersion = '0.4.13';
export const lmEvalPackages: readonly string[] = [
  `lm_eval[api]==${lmEvalVersion}`,
  'aiohttp==3.14.5',
  'datasets==5.2.0',
  'evaluate==0.4.6',
  'huggingface_hub==2.4.0',
  'requests==2.34.2',
  'tenacity==9.2.1',
  'tqdm==4.70.1',
];
