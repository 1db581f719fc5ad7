import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-fs';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { packBuildContext } from '../../docker/build-context.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-context-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
});

async function write(...files: readonly (readonly [string, string])[]): Promise<void> {
  for (const [name, text] of files) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  }
}

/** Files and empty directories (with a trailing slash) in the context's tar. */
async function packed(dockerfile = 'Dockerfile'): Promise<readonly string[]> {
  const target = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-unpacked-'));
  onTestFinished(() => rm(target, { recursive: true, force: true }));
  await pipeline(await packBuildContext(root, dockerfile), extract(target));
  const entries = await readdir(target, { withFileTypes: true, recursive: true });
  const paths = entries.map((entry) => ({
    entry,
    name: path.relative(target, path.join(entry.parentPath, entry.name)),
  }));
  return paths
    .filter(({ entry, name }) => !entry.isDirectory() || !paths.some((other) => other.name.startsWith(`${name}/`)))
    .map(({ entry, name }) => (entry.isDirectory() ? `${name}/` : name))
    .sort();
}

describe('the build context', () => {
  test('is everything when nothing is ignored, empty directories included', async () => {
    await write(['Dockerfile', 'FROM scratch'], ['a/b.txt', 'x'], ['.git/HEAD', 'ref']);
    await mkdir(path.join(root, 'empty'));
    expect(await packed()).toEqual(['.git/HEAD', 'Dockerfile', 'a/b.txt', 'empty/']);
  });

  test('leaves out what .dockerignore says, but for the exceptions', async () => {
    await write(
      ['.dockerignore', '# comment\n.git\n**/*.log\nbuild\n!build/keep.txt\n'],
      ['Dockerfile', 'FROM scratch'],
      ['.git/HEAD', 'ref'],
      ['deep/down/x.log', ''],
      ['deep/down/x.txt', ''],
      ['build/out.bin', ''],
      ['build/keep.txt', ''],
    );
    expect(await packed()).toEqual(['.dockerignore', 'Dockerfile', 'build/keep.txt', 'deep/down/x.txt']);
  });

  test('always holds the Dockerfile, even below an ignored directory', async () => {
    await write(['.dockerignore', '*\n'], ['docker/Dockerfile', 'FROM scratch'], ['docker/other', ''], ['a', '']);
    expect(await packed(path.join('docker', 'Dockerfile'))).toEqual(['.dockerignore', 'docker/Dockerfile']);
  });

  test("takes the Dockerfile's own ignore file first", async () => {
    await write(
      ['.dockerignore', 'a\n'],
      ['docker/Dockerfile', 'FROM scratch'],
      ['docker/Dockerfile.dockerignore', 'b\n'],
      ['a', ''],
      ['b', ''],
    );
    expect(await packed(path.join('docker', 'Dockerfile'))).toEqual([
      '.dockerignore',
      'a',
      'docker/Dockerfile',
      'docker/Dockerfile.dockerignore',
    ]);
  });

  test('ends with an error when its directory is gone', async () => {
    await rm(root, { recursive: true });
    await expect(packed()).rejects.toThrow(/ENOENT/);
  });
});
