import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { assetPath } from '../steps/package-root.js';

/** What the original suite finds on its PATH here, and what it would be elsewhere. */
export interface StandIns {
  /** To be first on PATH. */
  readonly binDirectory: string;
  /** For VENV_DIR. */
  readonly venvDirectory: string;
  /** One line each, for the reader of the figures. */
  readonly list: readonly string[];
}

/**
 * Makes what the suite needs and this machine does not have.
 * @param options.realVenv the virtual environment with lm_eval, openai and pandas
 * @param options.taskDirectory the local data set's folder, for lm_eval
 * @param options.docker the real docker command
 */
export async function makeStandIns(options: {
  readonly directory: string;
  readonly realVenv: string;
  readonly taskDirectory: string;
  readonly docker: string;
}): Promise<StandIns> {
  const binDirectory = path.join(options.directory, 'bin');
  const venvDirectory = path.join(options.directory, 'venv');
  await mkdir(binDirectory, { recursive: true });
  await mkdir(path.join(venvDirectory, 'bin'), { recursive: true });
  const script = async (name: string, lines: readonly string[]) => {
    const file = path.join(binDirectory, name);
    await writeFile(file, `${['#!/usr/bin/env bash', ...lines].join('\n')}\n`);
    await chmod(file, 0o755);
  };
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  await script('nvidia-smi', ["printf '143771\\n143771\\n'"]);
  await script('docker', [
    '# The image is there; the devices are not.',
    'if [ "$1" = build ]; then echo "not built here: the simulator\'s image has this tag"; exit 0; fi',
    'kept=()',
    'while [ $# -gt 0 ]; do if [ "$1" = --gpus ]; then shift; else kept+=("$1"); fi; shift; done',
    `exec ${quoted(options.docker)} "\${kept[@]}"`,
  ]);
  await script('uv', ['exit 0']);
  await script('lm_eval', [
    'kept=()',
    'for argument in "$@"; do',
    '  case "$argument" in',
    '    gsm8k) argument=gsm8k_local ;;',
    '    model=*) argument="$argument,tokenizer_backend=None" ;;',
    '  esac',
    '  kept+=("$argument")',
    'done',
    'export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1',
    `exec ${quoted(path.join(options.realVenv, 'bin', 'lm_eval'))} "\${kept[@]}" --include_path ${quoted(options.taskDirectory)}`,
  ]);
  const bench = quoted(assetPath('pipeline', 'lmcache-ci.mjs'));
  await script('vllm', [
    'shift 2',
    `${quoted(process.execPath)} ${bench} bench "$@" || exit`,
    'while [ $# -gt 0 ]; do',
    '  case "$1" in',
    '    --result-dir) directory=$2 ;; --result-filename) file=$2 ;;',
    '    --num-prompts) prompts=$2 ;; --random-input-len) length=$2 ;;',
    '  esac',
    '  shift',
    'done',
    "# The vLLM of that day counted the prompts themselves, today's counts the chat template too.",
    'sed -i "s/\\"total_input_tokens\\": *[0-9]*/\\"total_input_tokens\\": $((prompts * length))/" "$directory/$file"',
  ]);
  await writeFile(
    path.join(venvDirectory, 'bin', 'activate'),
    `export PATH=${quoted(binDirectory)}:${quoted(path.join(options.realVenv, 'bin'))}:"$PATH"\n`,
  );
  return {
    binDirectory,
    venvDirectory,
    list: [
      "image: lmcache-ci's simulator, tagged lmcache/vllm-openai:test before; `docker build` says so and ends",
      'Docker runtime "nvidia": runc under that name, in a daemon of the benchmark\'s own; `--gpus all` is left out',
      'nvidia-smi: prints the memory of two H200',
      'virtual environment: there already, with lm_eval, openai and pandas; `uv pip install` does nothing',
      'lm_eval: the real one, on our task gsm8k_local with tokenizer_backend=None (no hub here, no transformers)',
      'vllm bench serve: `lmcache-ci bench` with the same flags; total_input_tokens without the chat template, as the suite expects it',
    ],
  };
}
