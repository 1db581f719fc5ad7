import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Anonymiser, thisMachine } from './anonymise.js';
import { collect } from './collect.js';
import { runPlan } from './plan.js';
import { Session } from './session.js';

const usage = `node dist/ci/real-runs/main.js run|watch|collect OPTIONS

  run      --dir DIR --budget SECONDS [--quick] [--skip ITEM]... -- LMCACHE-CI...
           runs the session; everything goes below DIR, progress into DIR/progress.log
  watch    --dir DIR --seconds N --tar FILE [--replace FROM=TO]...
           prints the progress until the session ends or N seconds have passed, then collects
  collect  --dir DIR --tar FILE [--replace FROM=TO]...
           packs what there is, anonymised, into FILE
`;
const tarLimitBytes = 15 * 2 ** 20;
const sessionOver = 'session over';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: 'string' },
    tar: { type: 'string' },
    budget: { type: 'string', default: '1500' },
    seconds: { type: 'string', default: '540' },
    replace: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
    skip: { type: 'string', multiple: true, default: [] },
  },
});
const [command, ...launcher] = positionals;
const directory = path.resolve(values.dir ?? '.');

switch (command) {
  case 'run': {
    const session = new Session({
      directory,
      launcher,
      budgetSeconds: Number(values.budget),
      quick: values.quick,
      skip: new Set(values.skip),
    });
    try {
      await runPlan(session);
    } catch (error) {
      session.note(`failed: ${error instanceof Error ? error.stack : error}`);
    }
    session.note(sessionOver);
    break;
  }
  case 'watch':
    await watch(Number(values.seconds));
    await pack();
    break;
  case 'collect':
    await pack();
    break;
  default:
    process.stderr.write(usage);
    process.exitCode = 2;
}

/** Prints what is new; lines of one step can be long. */
async function watch(seconds: number): Promise<void> {
  const log = path.join(directory, 'progress.log');
  const deadline = performance.now() + seconds * 1000;
  // A later look goes on where this one ended.
  const cursor = path.join(directory, '.watched');
  let shown = existsSync(cursor) ? Number(readFileSync(cursor, 'utf8')) : 0;
  let isOver = false;
  while (!isOver && performance.now() < deadline) {
    const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
    process.stdout.write(text.slice(shown));
    shown = text.length;
    if (existsSync(directory)) writeFileSync(cursor, String(shown));
    isOver = text.trimEnd().endsWith(sessionOver);
    if (!isOver) await delay(500);
  }
}

async function pack(): Promise<void> {
  const replacements = values.replace.map((pair): readonly [string, string] => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  replacements.push([directory, '/results']);
  replacements.sort(([a], [b]) => b.length - a.length);
  const target = path.resolve(values.tar ?? 'real-runs.tar');
  const bytes = await collect(directory, target, new Anonymiser(thisMachine(replacements)), tarLimitBytes);
  process.stdout.write(`${target} ${(bytes / 1e6).toFixed(1)} MB\n`);
}
