import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect } from 'vitest';
import { settingGroups } from '../../docs/setting-groups.js';
import { engineSettings } from '../../pipeline/commands/experiments-settings.js';
import { type Bench, root, test } from './bench.js';

// Commands in README, docs and help texts: none has a flag, a variable, a script or a file that is not there.

const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(path.join(root, name), 'utf8') }));

/** Commands of one line each, without comments. */
function commandsOf(text: string): readonly string[] {
  const blocks = [...text.matchAll(/```bash\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  const cells = [...text.matchAll(/\| `((?:npx|npm) [^`|]+)`/g)].map(([, cell = '']) => cell);
  return [...blocks.flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n')), ...cells]
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

const names = [
  ...['mp-test', 'step', 'bench', 'experiments', 'process-result', 'improvements', 'sweep', 'models', 'environments'],
  ...[
    'traces',
    'cache-simulation',
    'simulate-record',
    'simulate-calibrate',
    'simulate-study',
    'doctor',
    'clean',
    'status',
    'report',
  ],
];
const helps = new Map<string, string>();
async function loadHelps(bench: Bench): Promise<void> {
  if (helps.size > 0) return;
  const texts = await Promise.all(
    ['', ...names].map((name) => bench.run([...name.split(' ').filter(Boolean), '--help'])),
  );
  for (const [index, name] of ['', ...names].entries()) helps.set(name, texts[index]?.stdout ?? '');
}

let variables: ReadonlySet<string>;
const scripts = Object.keys(JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).scripts);
beforeAll(async () => {
  const settings = [...(await settingGroups()).map((group) => group.settings), engineSettings];
  variables = new Set(settings.flatMap(Object.keys));
});

/** What of a command is not there. */
function faultsOf(command: string): readonly string[] {
  // The guide's own step, which adding-a-test.test.ts makes and runs.
  if (command.includes('same-answer')) return [];
  const faults: string[] = [];
  const words = command.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
  while (/^[A-Z][A-Z0-9_]*=/.test(words[0] ?? '')) {
    const name = (words.shift() ?? '').split('=')[0] ?? '';
    if (!variables.has(name) && !/^(?:VLLM|LMCACHE)_ENV_/.test(name)) faults.push(`variable ${name}`);
  }
  if (words[0] === 'npx') words.shift();
  const [program, ...args] = words;
  if (program === 'lmcache-ci') {
    const command =
      args[0] === 'simulate' && /^(?:record|calibrate|study)$/.test(args[1] ?? '') ? `simulate-${args[1]}` : args[0];
    if (command === 'simulate' || command === 'completion') return faults;
    const help = helps.get(command ?? '');
    if (help === undefined || help === '') return [...faults, `command ${command}`];
    for (const flag of args.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split('=')[0] ?? '')) {
      const positive = flag.replace(/^--no-/, '--');
      if (!new RegExp(`(?:^|\\s)(?:${flag}|${positive})(?=[\\s,;])`, 'm').test(help)) faults.push(`${command} ${flag}`);
    }
  } else if (
    program === 'npm' &&
    args[0] === 'run' &&
    !scripts.includes(args.find((word) => !word.startsWith('-') && word !== 'run') ?? '')
  ) {
    faults.push(`script ${args.join(' ')}`);
  }
  const files = words.filter((word) => /^(?:steps|ci|tests|examples\/sweeps|\.ci)\//.test(word));
  for (const file of files) if (!existsSync(path.join(root, file))) faults.push(`file ${file}`);
  return faults;
}

describe('commands in', () => {
  test.for(pages)('$name have only flags, variables, scripts and files that are there', async ({ text }, { bench }) => {
    await loadHelps(bench);
    expect(commandsOf(text).flatMap((command) => faultsOf(command).map((fault) => `${fault} in: ${command}`))).toEqual(
      [],
    );
  });

  test('the pages are found, and a wrong one is noticed', async ({ bench }) => {
    await loadHelps(bench);
    expect(pages.flatMap(({ text }) => commandsOf(text)).length).toBeGreaterThan(100);
    expect(faultsOf('MAX_TTFT=1 npx lmcache-ci mp-test --onyl lm-eval')).toEqual([
      'variable MAX_TTFT',
      'mp-test --onyl',
    ]);
    expect(faultsOf('npx lmcache-ci mptest')).toEqual(['command mptest']);
    expect(faultsOf('npm run mptest')).toEqual(['script run mptest']);
    expect(faultsOf('npx zx steps/run-lmeval.mjs')).toEqual(['file steps/run-lmeval.mjs']);
  });
});

describe('the help of', () => {
  test.for(names)('%s has a sentence, examples with flags that are there, and exit codes', async (name, { bench }) => {
    await loadHelps(bench);
    const help = helps.get(name) ?? '';
    const spoken = name.replace('simulate-', 'simulate ');
    expect(help).toMatch(new RegExp(`^lmcache-ci ${spoken}\\b.*\\n(?:lmcache-ci .*\\n)?\\n[A-Z][^.]*(?:\\.|:)`));
    expect(help).toMatch(/\nExit codes: 0 [\s\S]*; 2 usage/);
    // The command's own options come before all settings.
    if (help.includes('\nSettings of')) expect(help.indexOf('\nOptions:')).toBeLessThan(help.indexOf('\nSettings of'));
    // One way to say a default.
    expect(help.replaceAll(/\[[^\]]*\]/g, '')).not.toMatch(/\bdefaults? (?!for|kernels|one)\S/);
    const examples = /\nExamples:\n([\s\S]*?)\n\n/.exec(help)?.[1] ?? '';
    expect(examples).toContain(`lmcache-ci ${spoken.split(' ')[0]}`);
  });

  test('every command is in English, whatever the language of the shell', async ({ bench }) => {
    const { stdout } = await bench.run(['clean', '--help'], { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' });
    expect(stdout).toContain('Options:');
    expect(stdout).not.toContain('Optionen');
  });
});
