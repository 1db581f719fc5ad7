import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { promisify } from 'node:util';

/** The running node as it can be put into an image of its own. */
export interface NodeBinary {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Absolute paths of the shared libraries and the loader, where the loader looks for them. */
  readonly libraries: readonly string[];
  /** Changes when the binary or one of its libraries does. */
  readonly fingerprint: string;
}

const lddLimitMs = 10_000;

/**
 * Finds what the running node needs beside itself.
 * @throws Error on another system than Linux, whose node does not run in a container, and without `ldd`.
 */
export async function findNodeBinary(): Promise<NodeBinary> {
  if (process.platform !== 'linux') {
    throw new Error(
      `The simulator's image holds the node that runs now, and one for ${process.platform} does not run in a Linux container. Use RUNTIME=process here.`,
    );
  }
  const binary = await realpath(process.execPath);
  const libraries = parseLdd(await ldd(binary));
  const marks = await Promise.all(
    [binary, ...libraries].map(async (file) => {
      const { size, mtimeMs } = await stat(file);
      return `${file} ${size} ${mtimeMs}`;
    }),
  );
  return { path: binary, libraries, fingerprint: [process.version, process.arch, ...marks].join('\n') };
}

async function ldd(binary: string): Promise<string> {
  try {
    return (await promisify(execFile)('ldd', [binary], { timeout: lddLimitMs })).stdout;
  } catch (error) {
    // A statically linked node needs nothing; ldd says so and exits with 1.
    const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    if (/not a dynamic executable|not a valid dynamic program/i.test(text)) return '';
    throw new Error(`ldd cannot tell the libraries of "${binary}": ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

/**
 * Paths out of ldd's lines: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)` and, for the loader,
 * `/lib64/ld-linux-x86-64.so.2 (0x...)`. The kernel's own `linux-vdso.so.1` has none.
 * @throws Error that names a library which is not found.
 */
export function parseLdd(output: string): readonly string[] {
  const missing = /^\s*(\S+) => not found/m.exec(output)?.[1];
  if (missing !== undefined) throw new Error(`The shared library "${missing}" of node is not on this machine.`);
  return [...output.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm)].flatMap(([, file]) => file ?? []);
}
