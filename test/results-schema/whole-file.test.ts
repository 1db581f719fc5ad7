import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { namingFile } from '../../results-schema/file-trouble.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import { writeWhole, writeWholeSync } from '../../results-schema/whole-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-whole-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('makes the folders on its way, open for writing to nobody else', async () => {
  const file = path.join(folder, 'a/b/result.json');
  expect(await writeWhole(file, '{}')).toBe(file);
  expect(readFileSync(file, 'utf8')).toBe('{}');
  expect(statSync(path.dirname(file)).mode & 0o022).toBe(0);
});

it('leaves the file as it was, and nothing beside it, when its writer fails half-way', async () => {
  const file = path.join(folder, 'rows.csv');
  writeFileSync(file, 'before');
  const failing = writeWhole(file, async (handle) => {
    await handle.appendFile('half of it');
    throw new Error('the trace ended early');
  });
  await expect(failing).rejects.toThrow('the trace ended early');
  expect(readdirSync(folder)).toEqual(['rows.csv']);
  expect(readFileSync(file, 'utf8')).toBe('before');
});

it('names the file in what the file system says, with its code', async () => {
  const file = path.join(folder, 'rows.csv');
  const onFullDisk = writeWhole(file, async () => {
    const full = await open('/dev/full', 'w');
    await full.writeFile('x').finally(() => full.close());
  });
  await expect(onFullDisk).rejects.toMatchObject({
    message: `"${file}" cannot be written: ENOSPC: no space left on device, write`,
    code: 'ENOSPC',
  });
  writeFileSync(file, '');
  await expect(writeWhole(path.join(file, 'x'), '')).rejects.toThrow('rows.csv/x" cannot be written: EEXIST');
});

it('fails at once where no folder can be made', async () => {
  for (const below of ['lmcache-ci', 'lmcache-ci/deep/er'])
    await expect(writeWhole(`/proc/${below}/file`, '')).rejects.toThrow(`"/proc/${below}/file" cannot be written: E`);
});

it('makes the folders that lack, beside another who does, and follows a link to one', () => {
  makeFolder(path.join(folder, 'a', 'b'));
  makeFolder(path.join(folder, 'a', 'b', 'c'), 0o700);
  expect(statSync(path.join(folder, 'a', 'b', 'c')).mode & 0o777).toBe(0o700);
  symlinkSync(path.join(folder, 'a'), path.join(folder, 'link'));
  makeFolder(path.join(folder, 'link', 'd'));
  expect(readdirSync(path.join(folder, 'a'))).toEqual(['b', 'd']);
  symlinkSync(path.join(folder, 'nowhere'), path.join(folder, 'dangling'));
  expect(() => makeFolder(path.join(folder, 'dangling'))).toThrow('EEXIST');
});

it('says what is in the way of a folder, where node says that the folder is not there', () => {
  const missing = Object.assign(new Error('ENOENT: no such file or directory, mkdir'), {
    code: 'ENOENT',
    syscall: 'mkdir',
  });
  // Nobody makes folders there.
  expect(namingFile(missing, '/sys/lmcache-ci/deep/file')).toMatchObject({
    message: expect.stringMatching(/^"\/sys\/lmcache-ci\/deep\/file" cannot be written: (?!ENOENT)E[A-Z]+: /),
  });
  expect(namingFile(missing, path.join(folder, 'a', 'file'))).toMatchObject({ code: 'ENOENT' });
  expect(readdirSync(folder)).toEqual([]);
  const own = new Error('not of the file system');
  expect(namingFile(own, '/x')).toBe(own);
});

it('takes pieces in their order', async () => {
  const file = path.join(folder, 'rows.csv');
  await writeWhole(file, async (handle) => {
    await handle.appendFile('a,b\n');
    await handle.appendFile('1,2\n');
  });
  expect(readFileSync(file, 'utf8')).toBe('a,b\n1,2\n');
});

it('at once: with the mode asked for, and nothing left where a folder stands in the way', () => {
  const file = path.join(folder, 'record.json');
  writeWholeSync(file, '1', 0o600);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(() => writeWholeSync(folder, '2')).toThrow();
  expect(readdirSync(folder)).toEqual(['record.json']);
  expect(readdirSync(path.dirname(folder)).filter((name) => name.includes(`.${path.basename(folder)}.`))).toEqual([]);
});
