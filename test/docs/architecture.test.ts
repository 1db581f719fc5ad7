import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');

/** The table of rooms: what each may import, by its words. */
const rows = [...page.matchAll(/^\| (`.+\/`) \| .+ \| (.+) \|$/gm)].map(([, folders = '', words = '']) => ({
  rooms: [...folders.matchAll(/`([\w-]+)\/`/g)].map(([, room = '']) => room),
  words,
}));
const rooms = rows.flatMap((row) => row.rooms);

function allowed(row: (typeof rows)[number]): readonly string[] {
  if (row.words === 'nothing') return [];
  if (row.words.startsWith('everything')) return rooms;
  return rooms.filter((room) => row.words.includes(room));
}

function sourcesOf(room: string): string[] {
  return readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(root, room, name));
}

function importsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) =>
    relative(root, join(dirname(file), path)),
  );
}

describe('the table of rooms', () => {
  it('has every folder of sources', () => {
    const { include } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')) as { include: string[] };
    expect([...rooms].sort()).toEqual([...include.map((pattern) => pattern.split('/')[0]), 'test'].sort());
  });

  it.each(rows.filter(({ words }) => !words.startsWith('everything')))('$rooms imports only what it says', (row) => {
    const may = new Set([...row.rooms, ...allowed(row)]);
    for (const room of row.rooms) {
      const files = sourcesOf(room);
      expect(files.length).toBeGreaterThan(0);
      const wrong = files.flatMap((file) =>
        importsOf(file)
          .filter((target) => !may.has(target.split(sep)[0] ?? ''))
          .map((target) => `${relative(root, file)} -> ${target}`),
      );
      expect(wrong).toEqual([]);
    }
  });

  it('lets nobody make folders in the way that hangs where none can be made', () => {
    const hanging = rooms
      .filter((room) => !['test', 'bench', 'simulator'].includes(room))
      .flatMap(sourcesOf)
      .filter((file) => /mkdir(Sync)?\([^;]*recursive: true/.test(readFileSync(file, 'utf8')));
    expect(hanging).toEqual([]);
  });

  it('lets only docker/ import dockerode', () => {
    const elsewhere = rooms
      .filter((room) => room !== 'docker' && room !== 'test')
      .flatMap(sourcesOf)
      .filter((file) => /from 'dockerode'/.test(readFileSync(file, 'utf8')));
    expect(elsewhere).toEqual([]);
  });
});

describe('the pages', () => {
  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    'docs/architecture.md',
    'docs/adding-a-test.md',
    'docs/reports.md',
    'docs/experiments.md',
    'docs/traces.md',
  ];

  it.each(pages)('%s links only to what is there', (name) => {
    const links = [...readFileSync(join(root, name), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)].map(
      ([, to = '']) => to,
    );
    for (const to of links) expect(() => readdirOrFile(join(root, dirname(name), to)), to).not.toThrow();
  });

  it.each(pages)('%s names only npm scripts that exist', (name) => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const text = readFileSync(join(root, name), 'utf8');
    for (const [, script = ''] of text.matchAll(/npm run ([\w:-]+)/g)) expect(Object.keys(scripts)).toContain(script);
  });

  it.each(pages)('%s names only step scripts that exist', (name) => {
    const existing = new Set(readdirSync(join(root, 'steps')).filter((file) => file.endsWith('.mjs')));
    const text = readFileSync(join(root, name), 'utf8');
    const examples = new Set(['run-my-test.mjs', 'run-same-answer.mjs']);
    for (const [, script = ''] of text.matchAll(/steps\/([\w-]+\.mjs)/g)) {
      expect(existing.has(script) || examples.has(script), script).toBe(true);
    }
  });
});

function readdirOrFile(path: string): void {
  try {
    readFileSync(path);
  } catch {
    readdirSync(path);
  }
}
