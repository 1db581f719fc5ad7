import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { simulatorModules } from './module-files.js';
import { findNodeBinary } from './node-binary.js';

/** Everything the simulator's image consists of, before anything is copied. */
export interface ImageContent {
  /** `lmcache-ci/simulator:<content hash>` */
  readonly reference: string;
  /** Sources by their absolute path in the image. */
  readonly files: ReadonlyMap<string, string>;
  /** Generated texts by their absolute path in the image. */
  readonly texts: ReadonlyMap<string, { readonly text: string; readonly executable: boolean }>;
  readonly libraryPath: string;
  readonly dockerfile: string;
}

/** A directory that `docker build` takes as it is. */
export interface AssembledContext {
  readonly directory: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

const appDirectory = '/app';
const nodeInImage = '/usr/local/bin/node';

/** The programs of the real images, where those have them: on PATH and in the virtual environment. */
const shimmedPrograms: Readonly<Record<string, readonly string[]>> = {
  vllm: ['/usr/local/bin/vllm', '/opt/venv/bin/vllm'],
  lmcache: ['/usr/local/bin/lmcache', '/opt/venv/bin/lmcache'],
  python3: ['/opt/venv/bin/python3'],
};

/**
 * What the image would hold now. Code counts by its bytes, installed packages by name and version, node and its
 * libraries by version, size and time, so that asking is cheap enough for every launch.
 * @param root the package's root.
 * @throws Error when the code is not compiled, a package is missing, or this is not Linux.
 */
export async function imageContent(root: string): Promise<ImageContent> {
  const [node, modules, dockerfile, assets] = await Promise.all([
    findNodeBinary(),
    simulatorModules(root),
    readFile(path.join(root, 'simulator', 'image', 'Dockerfile'), 'utf8'),
    assetFiles(root),
  ]);
  const files = new Map<string, string>([[nodeInImage, node.path]]);
  for (const library of node.libraries) files.set(library, library);
  const code = [...modules.files, ...assets, path.join(root, 'package.json')];
  for (const file of code) files.set(targetInApp(root, file), file);
  for (const file of (await Promise.all(modules.packages.map(packageFiles))).flat()) {
    files.set(targetInApp(root, file), file);
  }
  const texts = imageTexts();
  const libraryPath = [...new Set(node.libraries.map((library) => path.dirname(library)))].join(':');
  const hash = createHash('sha256').update(node.fingerprint).update(dockerfile).update(libraryPath);
  const [contents, identities] = await Promise.all([
    Promise.all(code.map(async (file) => ({ file, bytes: await readFile(file) }))),
    Promise.all(modules.packages.map(packageIdentity)),
  ]);
  for (const { file, bytes } of contents) hash.update(`\0${path.relative(root, file)}\0`).update(bytes);
  for (const identity of identities) hash.update(`\0${identity}`);
  for (const [target, { text }] of texts) hash.update(`\0${target}\0${text}`);
  const reference = `lmcache-ci/simulator:${hash.digest('hex').slice(0, 16)}`;
  return { reference, files, texts, libraryPath, dockerfile };
}

/** Copies the content into an empty directory, a temporary one unless it is named. The caller removes it. */
export async function assembleContext(content: ImageContent, given: string | null = null): Promise<AssembledContext> {
  const directory = given ?? (await mkdtemp(path.join(tmpdir(), 'lmcache-ci-simulator-image-')));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    await writeFile(path.join(directory, 'Dockerfile'), content.dockerfile);
    const rootfs = path.join(directory, 'rootfs');
    // Docker makes the mount points it needs, but not what a program expects of any system.
    await mkdir(path.join(rootfs, 'tmp'), { recursive: true });
    await mkdir(path.join(rootfs, 'root'));
    for (const [target, source] of content.files) {
      const file = path.join(rootfs, target);
      await mkdir(path.dirname(file), { recursive: true });
      await copyFile(source, file, constants.COPYFILE_FICLONE);
    }
    for (const [target, { text, executable }] of content.texts) {
      const file = path.join(rootfs, target);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, text);
      await chmod(file, executable ? 0o755 : 0o644);
    }
    return { directory, buildArgs: { LIBRARY_PATH: content.libraryPath }, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function imageTexts(): Map<string, { readonly text: string; readonly executable: boolean }> {
  const texts = new Map<string, { readonly text: string; readonly executable: boolean }>();
  for (const [program, targets] of Object.entries(shimmedPrograms)) {
    for (const target of targets) texts.set(target, { text: shim(program), executable: true });
  }
  // Without it glibc asks the name server for "localhost" before it reads /etc/hosts.
  texts.set('/etc/nsswitch.conf', { text: 'hosts: files dns\n', executable: false });
  return texts;
}

/** A program of the real image as a node script: there is no shell to run any other kind. */
function shim(program: string): string {
  const main = `${appDirectory}/dist/simulator/main.js`;
  return [
    `#!${nodeInImage}`,
    `process.argv.splice(1, 1, '${main}', '${program}');`,
    `import('${main}').catch((error) => {`,
    '  console.error(error);',
    '  process.exit(1);',
    '});',
    '',
  ].join('\n');
}

/** What lies beside the simulator's sources and is read at run time. */
async function assetFiles(root: string): Promise<readonly string[]> {
  const directory = path.join(root, 'simulator');
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(path.join(directory, 'image') + path.sep))
    .sort();
}

/** Type declarations and source maps are of no use at run time. */
async function packageFiles(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && !/\.(?:[cm]?ts|map|md)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** A package found above the root (hoisted) moves down to it; nested versions stay nested. */
function targetInApp(root: string, file: string): string {
  for (let directory = root; ; directory = path.dirname(directory)) {
    const relative = path.relative(directory, file);
    const isBelow = directory === root ? !relative.startsWith('..') : relative.startsWith(`node_modules${path.sep}`);
    if (isBelow) return path.posix.join(appDirectory, relative);
  }
}

async function packageIdentity(directory: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8'));
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : '';
  return `${path.basename(directory)}@${String(version)}`;
}
