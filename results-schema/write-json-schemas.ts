import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publishedSchemas } from './json-schemas.js';
import { makeFolder } from './make-folder.js';

/** Writes results-schema/json/ anew: `npm run schemas`. */
const directory = join(packageRoot(), 'results-schema', 'json');
const schemas = publishedSchemas();
makeFolder(directory);
for (const { fileName, text } of schemas) await writeFile(join(directory, fileName), text);
const current = new Set(schemas.map(({ fileName }) => fileName));
for (const name of await readdir(directory)) if (!current.has(name)) await rm(join(directory, name));
console.log(`wrote ${schemas.length} JSON Schemas to "${directory}"`);

/** This file runs from dist/, the schemas lie beside the sources. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above "${fileURLToPath(import.meta.url)}"`);
    directory = parent;
  }
  return directory;
}
