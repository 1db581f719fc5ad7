import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './bench.js';

const page = readFileSync(path.join(root, 'docs', 'migration.md'), 'utf8');

/** The section of docs/migration.md whose heading has this in it; its commands stand on the right of its tables. */
export function migrationSection(heading: string): { readonly commands: readonly string[] } {
  const section = page.split(/^## /m).find((text) => text.split('\n')[0]?.includes(heading));
  if (section === undefined) throw new Error(`docs/migration.md has no section "${heading}"`);
  const rows = [...section.matchAll(/^\| .* \| `((?:npx|npm) [^`]+)` \|$/gm)];
  return { commands: rows.map(([, command = '']) => command) };
}
