import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it that lack; one that is there is fine. Not node's `recursive`: below /proc, where no
 * folder can be made, node 20 tries for ever.
 * @param mode of the folders that are made
 * @throws the file system's errors
 */
export function makeFolder(folder: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const path of missing) {
    try {
      mkdirSync(path, mode);
    } catch (error) {
      // Somebody else has just made it, or it is a link that leads nowhere.
      if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
    }
  }
  // Says that a file has its name.
  if (!statSync(folder).isDirectory()) mkdirSync(folder);
}
