import type yargs from 'yargs';
import { isFileError } from './commands/file-error.js';
import { describeExitCodes } from './exit-codes.js';
import { type DeclaredOptions, findBadSwitches, settleValues } from './given-values.js';
import { hangUpWithoutReader } from './lost-reader.js';
import { packageVersion } from './package-version.js';
import { describeUsageError, UsageError } from './usage-error.js';

/** Every command, with its file loaded only when it is the one that was asked for. */
const commands = [
  {
    command: 'mp-test',
    describe: 'Build, launch, test vLLM with and without LMCache, judge, clean up',
    load: async () => (await import('./commands/mp-test.js')).mpTestCommand,
  },
  {
    command: 'step <name>',
    describe: 'Run one step alone; it joins the live run of this machine',
    load: async () => (await import('./commands/step.js')).stepCommand,
  },
  {
    command: 'bench',
    describe: 'Measure a server: the flags, table and result file of `vllm bench serve`',
    load: async () => (await import('./commands/bench.js')).benchCommand,
  },
  {
    command: 'experiments [file]',
    describe: 'Run a file of test functions: N engines under one workload, into CSV files',
    load: async () => (await import('./commands/experiments.js')).experimentsCommand,
  },
  {
    command: 'process-result [csv..]',
    describe: "Draw experiments' CSV files as PDF, SVG and HTML",
    load: async () => (await import('./commands/process-result.js')).processResultCommand,
  },
  {
    command: 'improvements',
    describe: 'Measure what LMCache brings: TTFT, tokens/s and GPU memory, with and without',
    load: async () => (await import('./commands/improvements.js')).improvementsCommand,
  },
  {
    command: 'sweep [action] [directories..]',
    describe: 'Measure a model over cache sizes, request rates and eviction policies, on all GPUs at once',
    load: async () => (await import('./commands/sweep.js')).sweepCommand,
  },
  {
    command: 'models',
    describe: 'List the models that sweeps know',
    load: async () => (await import('./commands/models.js')).modelsCommand,
  },
  {
    command: 'environments',
    describe: 'List the environments that sweeps know, and the one that is chosen',
    load: async () => (await import('./commands/environments.js')).environmentsCommand,
  },
  {
    command: 'traces <action> [files..]',
    describe: 'Make traces of conversations, bring traces into columns, say what they hold',
    load: async () => (await import('./commands/traces.js')).tracesCommand,
  },
  {
    command: 'cache-simulation <trace>',
    describe: 'Hit rate over cache size by eviction policy, offline from a trace or a server log',
    load: async () => (await import('./commands/cache-simulation.js')).cacheSimulationCommand,
  },
  {
    command: 'simulate-calibrate <recordings..>',
    // Called `simulate calibrate`, and told there.
    describe: false,
    load: async () => (await import('./commands/simulate-calibrate.js')).simulateCalibrateCommand,
  },
  {
    command: 'simulate-record',
    // Called `simulate record`.
    describe: false,
    load: async () => (await import('./commands/simulate-record.js')).simulateRecordCommand,
  },
  {
    command: 'simulate-study [workload]',
    // Called `simulate study`.
    describe: false,
    load: async () => (await import('./commands/simulate-study.js')).simulateStudyCommand,
  },
  {
    command: 'doctor',
    describe: 'Check what a run needs on this machine, with the remedy for what is missing',
    load: async () => (await import('./commands/doctor.js')).doctorCommand,
  },
  {
    command: 'clean',
    describe: 'Remove what runs that are gone have left behind',
    load: async () => (await import('./commands/clean.js')).cleanCommand,
  },
  {
    command: 'status <directory>',
    describe: 'Say what a results directory holds, what is missing and why',
    load: async () => (await import('./commands/status.js')).statusCommand,
  },
  {
    command: 'report <directory>',
    describe: 'Make pages of a results directory: HTML, PDF, SVG, Markdown, JUnit',
    load: async () => (await import('./commands/report.js')).reportCommand,
  },
] as const;

const simulate = 'simulate <engine..>';

/** All work is done: what still ends in order ends at once. */
const leftOpenMs = 3000;

/** A bug of ours, or a machine that is not as it should be, says nothing about the code under test. */
const withoutVerdict = 3;

/** What a command file provides. */
export interface Command {
  /** Adds its options and examples. */
  build(parser: ReturnType<typeof yargs>, args: readonly string[]): Promise<ReturnType<typeof yargs>>;
  /**
   * Reads all values, warns of variables that are nearly settings, starts nothing: what is wrong with values is told
   * together with flags that do not exist.
   * @throws UsageError, as `run` would
   */
  check?(parsed: Readonly<Record<string, unknown>>): Promise<void>;
  /** @returns the exit code. */
  run(parsed: Readonly<Record<string, unknown>>): Promise<number>;
}

/**
 * The command line `lmcache-ci`. Sets process.exitCode: 0 passed, 1 the code under test failed,
 * 2 usage or configuration, 3 no verdict, 128 + n interrupted by signal n.
 */
export async function main(given: readonly string[]): Promise<void> {
  hangUpWithoutReader();
  const args = joinStudies(given);
  if (args[0] === 'simulate' && args[1] !== '--help' && args[1] !== '-h' && args.length > 1) {
    const { runSimulator } = await import('../simulator/main.js');
    await runSimulator(args.slice(1));
    return;
  }
  if (args[0] === 'completion' && args.length === 1 && process.env.SHELL?.includes('fish')) {
    const { fishCompletion } = await import('./fish-completion.js');
    process.stdout.write(fishCompletion);
    return;
  }
  // Nothing that is written for a run may be writable for everybody, whatever the shell's umask.
  process.umask(process.umask() | 0o022);
  process.on('uncaughtException', (error) => {
    // What the run has started is removed by its keeper.
    process.exitCode = withoutVerdict;
    void complain(describeFailure(error)).finally(() => process.exit());
  });
  if (args[0] === 'bench') {
    const { readPlainFlags } = await import('./commands/bench-plain-flags.js');
    const flags = readPlainFlags(args.slice(1));
    if (flags !== null) {
      const { benchCommand } = await import('./commands/bench.js');
      process.exitCode = await benchCommand.run(flags).catch(exitCodeOf);
      return;
    }
  }
  const knownFlags: string[] = [];
  let options: DeclaredOptions = { array: [], boolean: [], alias: {} };
  const usageError = (message: string) => {
    const declared = [...commands.map(({ command }) => command), simulate].find(
      (command) => command.split(' ')[0] === args[0],
    );
    return new UsageError(describeUsageError(message, { args, declared, knownFlags }));
  };
  const refused: UsageError[] = [];
  const { default: newParser } = await import('yargs');
  const parser = newParser([...args])
    .scriptName('lmcache-ci')
    .usage('$0 <command>\n\nIs the KV cache of LMCache with vLLM still correct, and still worth it?')
    .version(packageVersion())
    .alias('help', 'h')
    .completion('completion', 'Print a completion script for the shell of $SHELL: bash, zsh or fish')
    .example('$0 mp-test', 'the whole pipeline; on the simulator where no GPU is')
    .example('MAX_LMCACHE_TTFT=0.2 $0 mp-test', 'settings by environment ...')
    .example('$0 mp-test --max-lmcache-ttft 0.2', '... or by flag')
    .example('$0 mp-test --only long-doc-qa --dry-run', 'what would run, and with which settings')
    .example('$0 simulate vllm serve Qwen/Qwen3-14B --port 8000', 'a vLLM without a GPU')
    .epilogue(
      describeExitCodes({
        0: 'passed',
        1: 'the code under test failed',
        2: 'configuration, nothing was started',
        3: 'no verdict: infrastructure, or inconclusive',
        interrupted: 'nothing is left behind',
      }),
    )
    // Half of a translated help would be English all the same.
    .locale('en')
    .strict()
    .demandCommand(1, 'Which command?')
    .recommendCommands()
    .wrap(Math.min(120, process.stdout.columns || 100))
    .exitProcess(false)
    .fail((message, error) => {
      // Of a command's flags: its values are to be looked at as well.
      if (!error && knownFlags.length > 0 && /^Unknown argument|^Invalid values/.test(message)) {
        refused.push(usageError(message));
        return;
      }
      throw error ?? usageError(message);
    });
  for (const { command, describe, load } of commands) {
    parser.command({
      command,
      describe,
      builder: async (inner) => {
        // A command's own options come before the settings, of which there are many.
        inner.group([], 'Options:');
        const built = await (await load()).build(inner as ReturnType<typeof yargs>, args);
        const declared = (built as unknown as { getOptions(): DeclaredOptions & { key: object } }).getOptions();
        options = declared;
        knownFlags.push(...Object.keys(declared.key));
        return built;
      },
      handler: async (parsed) => {
        const asked: Command = await load();
        const settled = settleValues(parsed, options);
        refused.push(...findBadSwitches(args, options));
        if (refused.length > 0) throw await withBadValues(refused, async () => asked.check?.(settled));
        process.exitCode = await asked.run(settled);
        // What is left open by somebody's test file, or by a step that did not listen, must not keep us.
        setTimeout(() => process.exit(), leftOpenMs).unref();
      },
    });
  }
  parser.command(
    simulate,
    'Run the embedded simulator: vllm serve ..., lmcache server ...; record an engine, calibrate; study in virtual time',
    (inner) =>
      inner
        .usage(
          '$0 simulate vllm serve <model> [its options]\n$0 simulate lmcache server [its options]\n$0 simulate record|calibrate|study --help\n\nRuns the embedded simulator in place of vLLM or the LMCache server, with the options of the real ones.',
        )
        .example('$0 simulate vllm serve Qwen/Qwen3-14B --port 8000', "an OpenAI-compatible server with vLLM's flags")
        .example('$0 simulate lmcache server --l1-size-gb 80 --eviction-policy LRU --port 6555', 'the cache server')
        .example(
          'SIM_PROFILE=l40s SIM_SPEED=20 $0 simulate vllm serve Qwen/Qwen3-8B',
          'another card, twenty times as fast',
        )
        .example('$0 simulate record --engine baseline --out recordings', 'record a real vLLM, to fit a profile to')
        .example('$0 simulate calibrate recordings --out mine.json', 'fit a profile to recordings')
        .example('$0 simulate study mp-test', "mp-test's workloads in virtual time, within seconds")
        .epilogue(`Its own options are variables: SIM_PROFILE, SIM_SPEED, SIM_FAULT (docs/simulator.md).`),
  );
  try {
    await parser.parseAsync();
  } catch (thrown) {
    // What yargs finds late, a flag without its value, it throws itself.
    const error = thrown instanceof Error && thrown.name === 'YError' ? usageError(thrown.message) : thrown;
    process.exitCode = await exitCodeOf(error);
  }
}

/** What is wrong with flags and with values, in one message; where to read on stands last, once. */
async function withBadValues(refused: readonly UsageError[], check: () => Promise<void>): Promise<UsageError> {
  const found = await check().then(
    () => [],
    (error: unknown) => {
      if (error instanceof UsageError) return [error.message];
      throw error;
    },
  );
  const lines = [...found, ...refused.map(({ message }) => message)].join('\n').split('\n');
  const advice = lines.filter((line) => /^See lmcache-ci .*--help\.$/.test(line));
  return new UsageError([...lines.filter((line) => !advice.includes(line)), ...new Set(advice)].join('\n'));
}

/** Says what is wrong. */
async function exitCodeOf(error: unknown): Promise<number> {
  if (error instanceof UsageError) {
    await complain(error.message);
    return error.exitCode;
  }
  await complain(describeFailure(error));
  return withoutVerdict;
}

/** Commands of this project that are called `simulate ...`. */
const studies: readonly string[] = ['record', 'calibrate', 'study'];

/** What else follows `simulate` is an engine's command line. */
function joinStudies(args: readonly string[]): readonly string[] {
  // The shell asks with what was typed so far, behind the program's name.
  if (args[0] === '--get-yargs-completions') return [...args.slice(0, 2), ...joinStudies(args.slice(2))];
  const [first, second, ...rest] = args;
  const isStudy = first === 'simulate' && second !== undefined && studies.includes(second);
  return isStudy ? [`simulate-${second}`, ...rest] : args;
}

function describeFailure(error: unknown): string {
  return isFileError(error) ? error.message : error instanceof Error ? String(error.stack) : String(error);
}

/** Knowing what is secret takes libraries that `--help` does without. */
async function complain(message: string): Promise<void> {
  const { secrets } = await import('../results-schema/secrets.js');
  process.stderr.write(secrets.hide(`lmcache-ci: ${message}\n`));
}
