import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { assetPath } from '../../steps/package-root.js';

/** When each token of a stream left the server, in ms since the client began. */
export type TokenTimes = Float64Array;

/** Compiles a C program of this folder. @returns its path. @throws when there is no C compiler. */
export function compileTool(name: 'token-client' | 'token-writer', folder: string): string {
  const source = assetPath('bench', 'simulator', `${name}.c`);
  const program = path.join(folder, name);
  const compiled = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(`"cc" cannot compile ${source}: ${compiled.error ?? compiled.stderr}`);
  return program;
}

/**
 * Opens `count` streamed completions at once, by a program on a core of its own, and tells when their tokens left the
 * server.
 * @throws when an answer is not 200, or breaks off.
 */
export async function readTokenStreams(
  { program, core }: { readonly program: string; readonly core: string },
  port: number,
  model: string,
  count: number,
  tokens: number,
): Promise<readonly TokenTimes[]> {
  const client = spawn('taskset', ['-c', core, program, String(port), model, String(count), String(tokens)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [written, [code]] = await Promise.all([buffer(client.stdout), once(client, 'close')]);
  const size = tokens * Float64Array.BYTES_PER_ELEMENT;
  if (code !== 0 || written.length !== count * size) throw new Error(`the client ended with ${code}`);
  const bytes = Uint8Array.from(written).buffer;
  return Array.from({ length: count }, (_, stream) => new Float64Array(bytes, stream * size, tokens));
}
