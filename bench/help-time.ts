import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { assetPath } from '../steps/package-root.js';

const pairs = 21;
/** What the path of `--help` must not load: each costs more than all of it. */
const heavyPackages = ['zod', 'zx', 'dockerode', 'undici'];
const coverageSchema = z.object({ result: z.array(z.object({ url: z.string() })) });

export interface HelpTime {
  readonly bareMs: readonly number[];
  readonly helpMs: readonly number[];
  /** Of each pair. */
  readonly differenceMs: readonly number[];
  /** Heavy packages that were loaded nevertheless. */
  readonly heavyLoaded: readonly string[];
}

/** `lmcache-ci --help` and `node -e 0` in turn, so that both meet the same machine. */
export function measureHelp(): HelpTime {
  const help = [assetPath('pipeline', 'lmcache-ci.mjs'), '--help'];
  const bareMs: number[] = [];
  const helpMs: number[] = [];
  timeOf(help);
  for (let pair = 0; pair < pairs; pair++) {
    bareMs.push(timeOf(['-e', '0']));
    helpMs.push(timeOf(help));
  }
  return {
    bareMs,
    helpMs,
    differenceMs: helpMs.map((ms, pair) => ms - (bareMs[pair] ?? 0)),
    heavyLoaded: packagesLoaded(help).filter((name) => heavyPackages.includes(name)),
  };
}

function timeOf(args: readonly string[]): number {
  const started = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with exit code ${status}.`);
  return performance.now() - started;
}

/** Every package a file of which was run, as V8 reports it. */
export function packagesLoaded(args: readonly string[]): readonly string[] {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'lmcache-ci-coverage-'));
  try {
    const environment = { ...process.env, NODE_V8_COVERAGE: directory };
    const { status } = spawnSync(process.execPath, args, { stdio: 'ignore', env: environment });
    const urls = readdirSync(directory).flatMap((file) =>
      coverageSchema.parse(JSON.parse(readFileSync(path.join(directory, file), 'utf8'))).result.map(({ url }) => url),
    );
    if (status !== 0 || urls.length === 0) throw new Error('What node loads could not be seen.');
    const names = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
    return [...new Set(names)].sort();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
