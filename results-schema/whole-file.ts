import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { namingFile } from './file-trouble.js';
import { makeFolder } from './make-folder.js';

/** A name of its own beside the file, hidden, and known to `lmcache-ci status` as unfinished. */
export function draftOf(file: string): string {
  return join(dirname(file), `.${basename(file)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
}

/**
 * Makes a file that is whole or not there at all, even when the machine fails: written under another name, synced, renamed.
 * Folders that lack on its way are made.
 * @param content what it holds, or who writes it piece by piece
 * @returns its path
 * @throws the file system's errors, naming the file, and the writer's; nothing is left then
 */
export async function writeWhole(
  file: string,
  content: string | Buffer | ((handle: FileHandle) => Promise<unknown>),
): Promise<string> {
  const directory = dirname(file);
  const draft = draftOf(file);
  try {
    makeFolder(directory, 0o755);
    await withFile(draft, 'wx', async (handle) => {
      await (typeof content === 'function' ? content(handle) : handle.writeFile(content));
      await handle.sync();
    });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    throw namingFile(error, file);
  }
  await withFile(directory, 'r', (handle) => handle.sync());
  return file;
}

/**
 * The same at once, for small files that living processes read of each other, in a folder that is there: not synced, so a crash of the machine may
 * take them.
 */
export function writeWholeSync(file: string, content: string, mode = 0o644): void {
  const draft = draftOf(file);
  try {
    writeFileSync(draft, content, { mode });
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw namingFile(error, file);
  }
}

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags, 0o644);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}
