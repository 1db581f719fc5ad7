import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import dockerIgnore from '@balena/dockerignore';
import { type PackOptions, pack } from 'tar-fs';

/**
 * A build context as a tar stream, without what the ignore file excludes: `<Dockerfile>.dockerignore` where there is
 * one, else `.dockerignore` (Docker's rules, patterns with `!` included). Dockerfile and ignore file always travel.
 * The stream ends with an error when a file cannot be read.
 * @param dockerfile path within the context.
 * @throws the file system's error when the context cannot be listed.
 */
export async function packBuildContext(directory: string, dockerfile: string): Promise<NodeJS.ReadableStream> {
  const root = path.resolve(directory);
  const rules = await readIgnoreFile(root, dockerfile);
  if (rules === null) return packAs(root, () => false);
  const included = await includedPaths(root, rules, new Set([path.normalize(dockerfile), '.dockerignore']));
  return packAs(root, (name) => !included.has(path.relative(root, name)));
}

/** File modes travel as they are, whatever this process' umask. */
function packAs(root: string, ignore: (name: string) => boolean): NodeJS.ReadableStream {
  const options: PackOptions & { readonly umask: number } = { umask: 0, ignore };
  return pack(root, options);
}

async function readIgnoreFile(root: string, dockerfile: string): Promise<string | null> {
  for (const name of [`${dockerfile}.dockerignore`, '.dockerignore']) {
    try {
      return await readFile(path.join(root, name), 'utf8');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  return null;
}

/** Relative paths of all that is not ignored, with the directories above it. */
async function includedPaths(root: string, rules: string, always: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const ignore = dockerIgnore.default({ ignorecase: false }).add(rules);
  // Only a rule with `!` can bring back something below an ignored directory.
  const mayReturn = /^\s*!/m.test(rules);
  const included = new Set<string>();
  const visit = async (directory: string): Promise<void> => {
    for (const entry of await readdir(path.join(root, directory), { withFileTypes: true })) {
      const relative = path.join(directory, entry.name);
      const kept = always.has(relative) || !ignore.ignores(relative);
      if (kept) includeWithParents(relative, included);
      const leadsToKept = [...always].some((file) => file.startsWith(`${relative}${path.sep}`));
      if (entry.isDirectory() && (kept || mayReturn || leadsToKept)) await visit(relative);
    }
  };
  await visit('');
  return included;
}

function includeWithParents(relative: string, included: Set<string>): void {
  for (let current = relative; current !== '.' && !included.has(current); current = path.dirname(current)) {
    included.add(current);
  }
}
