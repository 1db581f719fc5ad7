import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const heavy = /^(echarts|pdfkit|svg-to-pdfkit|playwright-core)(\/|$)/;

/** The libraries that a source file loads at once, not by a later import(), with how it comes to them. */
function loadedBy(file: string, seen = new Map<string, string>(), how = ''): Map<string, string> {
  for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export) (?!type )[^;]*?from '([^']+)'/gms,
  )) {
    if (!target.startsWith('.')) seen.set(target, how);
    else {
      const source = resolve(dirname(file), target.replace(/\.js$/, '.ts'));
      if (seen.has(source) || !existsSync(source)) continue;
      seen.set(source, how);
      loadedBy(source, seen, `${how} ${target}`);
    }
  }
  return seen;
}

function heavyLibraries(file: string): string[] {
  return [...loadedBy(join(root, file))].filter(([name]) => heavy.test(name)).map(([name, how]) => `${name} by${how}`);
}

describe('the libraries that draw', () => {
  const commands = readdirSync(join(root, 'pipeline/commands')).filter((name) => name.endsWith('.ts'));

  it.each(['pipeline/cli.ts', ...commands.map((name) => `pipeline/commands/${name}`)])(
    'are not loaded with %s',
    (file) => {
      expect(heavyLibraries(file)).toEqual([]);
    },
  );

  it('would be found if they were', () => {
    expect(heavyLibraries('report/pages/pdf-document.ts')).not.toEqual([]);
  });
});
