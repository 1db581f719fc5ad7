import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of a file that lies beside the sources and is not compiled, e.g. `steps/lm-eval/driver.py`. */
export function assetPath(...parts: readonly string[]): string {
  let directory = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(directory, 'package.json'))) {
    const parent = path.dirname(directory);
    if (parent === directory) {
      throw new Error(`No package.json above "${fileURLToPath(import.meta.url)}": the installation is incomplete.`);
    }
    directory = parent;
  }
  return path.join(directory, ...parts);
}
