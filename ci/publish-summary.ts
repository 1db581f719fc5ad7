import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { CiEnvironment } from './ci-environment.js';

export type AnnotationStyle = 'success' | 'warning' | 'error' | 'info';

export interface PublishOptions {
  readonly style: AnnotationStyle;
  /** Groups annotations: a later one of the same context replaces the earlier. */
  readonly context: string;
  readonly signal: AbortSignal;
  /** Where the agent is looked for; default: process.env.PATH. */
  readonly searchPath?: string;
}

/** What became of the summary. A CI that cannot show it never fails the run: `failed` says why. */
export type Published =
  | { readonly outcome: 'published'; readonly where: string }
  | { readonly outcome: 'nowhere' }
  | { readonly outcome: 'failed'; readonly message: string };

/** GitHub refuses summaries above 1 MiB, Buildkite annotations above 1 MiB. */
const maxBytes = 1024 * 1024;
const agentTimeoutMs = 20_000;

/** Shows a run's Markdown where the CI shows such things: GitHub's step summary or a Buildkite annotation. */
export async function publishSummary(ci: CiEnvironment, markdown: string, options: PublishOptions): Promise<Published> {
  const body = shorten(markdown);
  try {
    if (ci.stepSummaryPath !== null) {
      await appendFile(ci.stepSummaryPath, body);
      return { outcome: 'published', where: 'GitHub step summary' };
    }
    if (ci.provider !== 'buildkite') return { outcome: 'nowhere' };
    const agent = find('buildkite-agent', options.searchPath ?? process.env.PATH ?? '');
    if (agent === null) return { outcome: 'nowhere' };
    await annotate(agent, body, options);
    return { outcome: 'published', where: 'Buildkite annotation' };
  } catch (error) {
    return { outcome: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

/** The text goes in by stdin: too long for an argument, and never seen by a shell. */
function annotate(agent: string, body: string, options: PublishOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(agentTimeoutMs)]);
    const child = spawn(agent, ['annotate', '--style', options.style, '--context', options.context], {
      stdio: ['pipe', 'ignore', 'pipe'],
      killSignal: 'SIGKILL',
      signal,
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2000);
    });
    child.once('error', reject);
    child.once('close', (code, killedBy) => {
      if (code === 0) resolve();
      else reject(new Error(`buildkite-agent annotate ended with ${killedBy ?? code}: ${complaint.trim()}`));
    });
    // An agent that ends without reading: its exit code tells, not the broken pipe.
    child.stdin.on('error', () => undefined);
    child.stdin.end(body);
  });
}

function find(program: string, searchPath: string): string | null {
  for (const directory of searchPath.split(delimiter)) {
    const path = join(directory, program);
    try {
      if (directory !== '') {
        accessSync(path, constants.X_OK);
        return path;
      }
    } catch {
      // Not in this one.
    }
  }
  return null;
}

function shorten(markdown: string): string {
  const bytes = Buffer.from(markdown);
  if (bytes.length <= maxBytes) return markdown;
  const note = '\n\n(cut: too long for the CI; the whole of it is in the results directory)\n';
  return bytes.subarray(0, maxBytes - note.length - 3).toString('utf8') + note;
}
