import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

it("the reports' page has code that runs", async () => {
  const page = await readFile(path.join(root, 'docs/reports.md'), 'utf8');
  const code = /```ts\n(.*?)```/s.exec(page)?.[1] ?? '';
  const directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-docs-'));
  try {
    const script = path.join(directory, 'report.ts');
    await writeFile(script, code.replace("'../report/", `'${root}report/`).replace("'out/", `'${directory}/out/`));
    await createJiti(import.meta.url, { fsCache: false }).import(script);
    expect((await readdir(path.join(directory, 'out'))).sort()).toEqual([
      'block-sizes-charts',
      'block-sizes.html',
      'block-sizes.pdf',
    ]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
