import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { makeFolder } from './make-folder.js';

/** What belongs to the run, not to one try of a step. */
const runFiles = new Set(['run.json', 'events.jsonl', 'orchestrator-lost.json']);
const runFolders = ['logs', 'tries'];
/** A file's time comes from a coarser clock than ours: it may lie a little before the moment it was written. */
const clockStepMs = 20;

/**
 * Moves what a try of a step has written to `tries/<name>/`, so that the next try cannot mix with it, or overwrite it.
 * @param root the results directory
 * @param sinceMs when the try began, milliseconds since 1970: older files are others'
 * @returns where they lie now, relative to the root; null when there were none
 */
export async function setAside(root: string, name: string, sinceMs: number): Promise<string | null> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((file) => !runFiles.has(file) && !runFolders.includes(file.split(sep)[0] ?? ''));
  const ages = await Promise.all(files.map(async (file) => ({ file, at: (await stat(join(root, file))).mtimeMs })));
  const written = ages.filter(({ at }) => at >= sinceMs - clockStepMs).map(({ file }) => file);
  if (written.length === 0) return null;
  const folder = await freeFolder(root, name);
  for (const file of written) {
    makeFolder(dirname(join(root, folder, file)), 0o755);
    await rename(join(root, file), join(root, folder, file));
  }
  return folder.split(sep).join('/');
}

/** `tries/lm-eval-1`, `tries/lm-eval-2`, ... */
async function freeFolder(root: string, name: string): Promise<string> {
  makeFolder(join(root, 'tries'), 0o755);
  for (let number = 1; ; number++) {
    const folder = join('tries', `${name}-${number}`);
    try {
      await mkdir(join(root, folder), { mode: 0o755 });
      return folder;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
}
