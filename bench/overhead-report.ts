import os from 'node:os';
import { median } from '../workloads/statistics.js';
import type { HelpTime } from './help-time.js';
import type { SuiteRun } from './original-suite.js';
import type { OwnRun } from './own-run.js';
import { formatSpread } from './spread.js';

export interface Figures {
  readonly help: HelpTime;
  /** One a round. */
  readonly docker: OwnRun[];
  readonly process: OwnRun[];
  readonly suite: SuiteRun[];
  readonly standIns: string[];
  /** What could not be measured, each with why. */
  readonly missing: string[];
  readonly quick: boolean;
}

/** The bounds this project promises. */
const bounds = { ownSeconds: 1, readyNoticedMs: 150, helpMs: 100 };

/** Prints all as Markdown. @returns the exit code: 1 when a bound is missed, 3 when something was not measured. */
export function printReport(figures: Figures, print: (line: string) => void): number {
  const { docker, help, missing, suite, standIns } = figures;
  const misses: string[] = [];
  const bounded = (what: string, values: readonly number[], unit: 's' | 'ms', bound: number) => {
    const measured = median(values);
    const holds = values.length > 0 && measured <= bound;
    if (values.length > 0 && !holds) misses.push(`${what}: ${measured.toFixed(2)} ${unit}, bound ${bound} ${unit}`);
    return row(
      what,
      formatSpread(values, unit),
      values.length === 0 ? '' : `<= ${bound} ${unit}${holds ? '' : ': MISSED'}`,
    );
  };
  const cpus = os.cpus();
  print(
    `${cpus.length} x ${cpus[0]?.model ?? 'unknown CPU'}, load ${os.loadavg()[0]?.toFixed(1)}, node ${process.version}, ${new Date().toISOString().slice(0, 10)}`,
  );
  print(
    `Medians (least to greatest) of interleaved rounds${figures.quick ? '; small workloads (--quick)' : ''}; all engines are simulated.`,
  );
  print('');
  print(row('lmcache-ci', 'median (spread)', 'bound'));
  print('|---|---|---|');
  const own = (runs: readonly OwnRun[]) => runs.map(({ timings }) => timings.ownSeconds);
  const ready = (runs: readonly OwnRun[]) => runs.flatMap(({ readyNoticedMs }) => readyNoticedMs);
  print(bounded('own time, Docker path', own(docker), 's', bounds.ownSeconds));
  print(bounded('own time, process path', own(figures.process), 's', bounds.ownSeconds));
  print(
    row(
      'start and end of the program, outside its events',
      formatSpread(
        docker.map((run) => run.outsideSeconds),
        's',
      ),
    ),
  );
  print(bounded('readiness noticed after, Docker path', ready(docker), 'ms', bounds.readyNoticedMs));
  print(bounded('readiness noticed after, process path', ready(figures.process), 'ms', bounds.readyNoticedMs));
  print(row('node -e 0', formatSpread(help.bareMs, 'ms')));
  print(row('lmcache-ci --help', formatSpread(help.helpMs, 'ms')));
  print(bounded('difference of each pair', help.differenceMs, 'ms', bounds.helpMs));
  print('');
  if (help.heavyLoaded.length > 0) misses.push(`lmcache-ci --help loads ${help.heavyLoaded.join(', ')}`);
  print(
    `lmcache-ci --help loads ${help.heavyLoaded.length === 0 ? 'none of zod, zx, dockerode, undici' : help.heavyLoaded.join(', ')}.`,
  );
  print(`Own time on the Docker path by step: ${byStep(docker)}.`);
  if (suite.length > 0) printComparison(figures, print);
  const all = [...labelled('lmcache-ci on Docker', docker), ...labelled('lmcache-ci with processes', figures.process)];
  for (const { name, exitCode, failure } of [...all, ...labelled('the original suite', suite)]) {
    if (exitCode !== 0) print(`${name} ended with exit code ${exitCode}: ${failure ?? 'it did not say why'}`);
  }
  if (standIns.length > 0) {
    print('');
    print('Stood in for the original suite:');
    for (const line of standIns) print(`- ${line}`);
  }
  for (const line of missing) print(`Not measured: ${line}`);
  for (const line of misses) print(`Missed: ${line}`);
  return misses.length > 0 ? 1 : missing.length > 0 ? 3 : 0;
}

function printComparison({ docker, suite }: Figures, print: (line: string) => void): void {
  const parts: readonly { readonly name: string; seconds(run: OwnRun | SuiteRun): number }[] = [
    { name: 'all', seconds: ({ wallSeconds }) => wallSeconds },
    { name: 'workloads', seconds: ({ timings }) => timings.workloadSeconds },
    { name: 'beyond the workloads', seconds: ({ wallSeconds, timings }) => wallSeconds - timings.workloadSeconds },
    { name: '- engine start', seconds: ({ timings }) => timings.engineStartSeconds },
    { name: '- stopping engines', seconds: ({ timings }) => timings.stopGraceSeconds },
    { name: '- own time', seconds: ({ timings }) => timings.ownSeconds },
  ];
  print('');
  print('| on Docker | lmcache-ci | original suite | original / ours |');
  print('|---|---|---|---|');
  for (const { name, seconds } of parts) {
    const [ours, theirs] = [docker.map(seconds), suite.map(seconds)];
    print(
      `| ${name} | ${formatSpread(ours, 's')} | ${formatSpread(theirs, 's')} | ${(median(theirs) / median(ours)).toFixed(1)} |`,
    );
  }
  const noticed = [docker, suite].map((runs) => runs.flatMap(({ readyNoticedMs }) => readyNoticedMs));
  const [ours = [], theirs = []] = noticed;
  print(
    `| readiness noticed after | ${formatSpread(ours, 'ms')} | ${formatSpread(theirs, 'ms')} | ${(median(theirs) / median(ours)).toFixed(0)} |`,
  );
}

function labelled(name: string, runs: readonly (OwnRun | SuiteRun)[]) {
  return runs.map(({ exitCode, failure }, index) => ({ name: `${name}, round ${index + 1},`, exitCode, failure }));
}

function byStep(runs: readonly OwnRun[]): string {
  const names = [...new Set(runs.flatMap(({ ownByStep }) => [...ownByStep.keys()]))];
  return names
    .map(
      (name) =>
        `${name} ${formatSpread(
          runs.map(({ ownByStep }) => ownByStep.get(name) ?? 0),
          's',
        ).replace(/ \(.*/, '')}`,
    )
    .join(', ');
}

function row(what: string, value: string, bound = ''): string {
  return `| ${what} | ${value} | ${bound} |`;
}
