import { existsSync, statSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { assembleContext, imageContent } from '../../simulator/image/image-context.js';
import { parseLdd } from '../../simulator/image/node-binary.js';
import { simulatorPackage } from './simulator-package.js';

let root: string;
beforeEach(async () => {
  const made = await simulatorPackage();
  root = made.root;
  onTestFinished(made.remove);
});
const change = (name: string, text: string): Promise<void> => writeFile(path.join(root, name), text);

describe("the simulator's image", () => {
  test('holds what the simulator loads and nothing else of the package', async () => {
    const { files } = await imageContent(root);
    const inApp = [...files.keys()].filter((file) => file.startsWith('/app/')).sort();
    expect(inApp).toEqual([
      '/app/dist/shared/data.json',
      '/app/dist/shared/join.js',
      '/app/dist/simulator/args.js',
      '/app/dist/simulator/main.js',
      '/app/node_modules/deep/index.js',
      '/app/node_modules/deep/package.json',
      '/app/node_modules/used/package.json',
      '/app/node_modules/used/sub.js',
      '/app/package.json',
      '/app/simulator/tokenizer/words.txt',
    ]);
    expect(files.has('/usr/local/bin/node')).toBe(true);
  });

  test('finds packages that are installed above, beside this one', async () => {
    const installed = path.join(root, 'node_modules', 'p');
    for (const part of ['dist', 'simulator', 'package.json']) {
      await mkdir(installed, { recursive: true });
      await cp(path.join(root, part), path.join(installed, part), { recursive: true });
    }
    const { files } = await imageContent(installed);
    expect(files.get('/app/node_modules/used/sub.js')).toBe(path.join(root, 'node_modules', 'used', 'sub.js'));
    expect(files.get('/app/dist/simulator/main.js')).toBe(path.join(installed, 'dist', 'simulator', 'main.js'));
  });

  test('keeps its name while nothing changes', async () => {
    const { reference } = await imageContent(root);
    expect(reference).toMatch(/^lmcache-ci\/simulator:[0-9a-f]{16}$/);
    await change('dist/pipeline/cli.js', 'changed');
    await change('simulator/engine.ts', 'changed');
    expect((await imageContent(root)).reference).toBe(reference);
  });

  test.each([
    ['its code', 'dist/simulator/main.js', "import './args.js';\n// changed\n"],
    ['code it shares', 'dist/shared/join.js', 'export const join = String;\n'],
    ['an asset', 'simulator/tokenizer/words.txt', 'bye\n'],
    ['the Dockerfile', 'simulator/image/Dockerfile', 'FROM scratch\n'],
    ['a package it needs', 'node_modules/deep/package.json', '{"name":"deep","version":"1.0.1"}'],
  ])('gets a new name with %s', async (_what, file, text) => {
    const { reference } = await imageContent(root);
    await change(file, text);
    expect((await imageContent(root)).reference).not.toBe(reference);
  });

  test('is refused before it is compiled', async () => {
    await rm(path.join(root, 'dist', 'simulator', 'main.js'));
    await expect(imageContent(root)).rejects.toThrow(/main\.js" is missing: compile first/);
  });

  test('is refused when a package is not installed', async () => {
    await rm(path.join(root, 'node_modules', 'deep'), { recursive: true });
    await expect(imageContent(root)).rejects.toThrow(/"deep" is not installed/);
  });
});

describe('its build context', () => {
  test('has executable shims without a shell, and is removed as a whole', async () => {
    const context = await assembleContext(await imageContent(root));
    const rootfs = path.join(context.directory, 'rootfs');
    try {
      for (const program of [
        'usr/local/bin/vllm',
        'usr/local/bin/lmcache',
        'opt/venv/bin/vllm',
        'opt/venv/bin/python3',
      ]) {
        expect(statSync(path.join(rootfs, program)).mode & 0o777).toBe(0o755);
        expect(await readFile(path.join(rootfs, program), 'utf8')).toMatch(/^#!\/usr\/local\/bin\/node\n/);
      }
      expect(existsSync(path.join(rootfs, 'tmp'))).toBe(true);
      expect(statSync(path.join(rootfs, 'usr/local/bin/node')).mode & 0o111).not.toBe(0);
    } finally {
      await context.remove();
    }
    expect(existsSync(context.directory)).toBe(false);
  });
});

describe('ldd', () => {
  test('names the libraries and the loader, not the kernel part', () => {
    const output = [
      '\tlinux-vdso.so.1 (0x00007f5d688a1000)',
      '\tlibstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f5d68600000)',
      '\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5d6833e000)',
      '\t/lib64/ld-linux-x86-64.so.2 (0x00007f5d688a3000)',
      '',
    ].join('\n');
    expect(parseLdd(output)).toEqual([
      '/lib/x86_64-linux-gnu/libstdc++.so.6',
      '/lib/x86_64-linux-gnu/libc.so.6',
      '/lib64/ld-linux-x86-64.so.2',
    ]);
  });

  test('a missing library is named', () => {
    expect(() => parseLdd('\tlibatomic.so.1 => not found\n')).toThrow(/"libatomic.so.1"/);
  });
});
