import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

/** What the simulator's compiled code loads. */
export interface ModuleFiles {
  /** Absolute paths of compiled files and of JSON beside them. */
  readonly files: readonly string[];
  /** Absolute directories of packages, those that packages need included. */
  readonly packages: readonly string[];
}

const manifestSchema = z.object({ dependencies: z.record(z.string(), z.string()).default({}) });

const specifierPattern = /(?:\bfrom|\bimport)\s*\(?\s*(['"])([^'"\n]+)\1/g;

/**
 * Follows the imports of every compiled module of the simulator, as tsc prints them.
 * @param root the package's root, which holds package.json and dist/.
 * @throws Error when a module or a declared dependency is missing.
 */
export async function simulatorModules(root: string): Promise<ModuleFiles> {
  const entry = path.join(root, 'dist', 'simulator');
  const own = await compiledFiles(entry, path.join(entry, 'image'));
  if (!own.includes(path.join(entry, 'main.js'))) {
    throw new Error(`"${path.join(entry, 'main.js')}" is missing: compile first (npm run build).`);
  }
  const declared = new Set(Object.keys(await dependenciesOf(root)));
  const files = new Set<string>();
  const packageNames = new Set<string>();
  const queue = [...own];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    if (!file.endsWith('.js')) continue;
    // A hundred small files: one after the other, waiting for each would take longer than reading it.
    for (const [, , specifier = ''] of readFileSync(file, 'utf8').matchAll(specifierPattern)) {
      if (specifier.startsWith('.')) queue.push(path.resolve(path.dirname(file), specifier));
      else if (declared.has(packageName(specifier))) packageNames.add(packageName(specifier));
    }
  }
  return { files: [...files].sort(), packages: await packageClosure(root, [...packageNames]) };
}

async function compiledFiles(directory: string, except: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(?:js|json)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(`${except}${path.sep}`));
}

/** `@scope/name/sub` and `name/sub` without the part below the package. */
function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

async function packageClosure(root: string, names: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  const queue = names.map((name) => ({ name, from: root }));
  for (let wanted = queue.pop(); wanted !== undefined; wanted = queue.pop()) {
    const directory = findPackage(wanted.name, wanted.from);
    if (found.has(directory)) continue;
    found.add(directory);
    for (const name of Object.keys(await dependenciesOf(directory))) queue.push({ name, from: directory });
  }
  return [...found].sort();
}

/** Node's own lookup: node_modules here, then in every directory above. */
function findPackage(name: string, from: string): string {
  for (let directory = from; ; directory = path.dirname(directory)) {
    const candidate = path.join(directory, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
    if (directory === path.dirname(directory)) {
      throw new Error(`The package "${name}" is not installed (looked from "${from}"): run npm ci.`);
    }
  }
}

async function dependenciesOf(directory: string): Promise<Readonly<Record<string, string>>> {
  const manifest: unknown = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8'));
  return manifestSchema.parse(manifest).dependencies;
}
