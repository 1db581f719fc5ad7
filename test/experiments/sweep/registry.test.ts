import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtInRegistry } from '../../../experiments/sweep/built-in-registry.js';
import { gpusOf, nearNames } from '../../../experiments/sweep/model-registry.js';
import { findRegistryFiles, loadRegistryFile } from '../../../experiments/sweep/registry-file.js';
import { parseShellPrefix } from '../../../experiments/sweep/shell-prefix.js';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sweep-registry-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

describe('a shell_command_prefix', () => {
  it('is read as variables, quotes and all', () => {
    expect(parseShellPrefix('LMCACHE_CHUNK_SIZE=256 LMCACHE_LOCAL_CPU=True ')).toEqual({
      LMCACHE_CHUNK_SIZE: '256',
      LMCACHE_LOCAL_CPU: 'True',
    });
    expect(parseShellPrefix(`A='{"x": 1}' B="two words" C=`)).toEqual({ A: '{"x": 1}', B: 'two words', C: '' });
    expect(parseShellPrefix('')).toEqual({});
  });

  it.each([
    ['source venv/bin/activate', /"source" is no assignment; allowed: NAME=value/],
    ['A=1; rm -rf x', /"A=1;" holds ";"/],
    ['A=$HOME', /"A=\$HOME" holds "\$"/],
    ['A=`id`', /holds "`"/],
    ['A="open', /not closed/],
    ['1A=2', /"1A=2" is no assignment/],
  ])('is never given to a shell: %s', (prefix, expected) => {
    expect(() => parseShellPrefix(prefix)).toThrow(expected);
  });
});

describe('the registry', () => {
  it("ships upstream's models and the LMCACHE environment", () => {
    const registry = builtInRegistry();
    expect(registry.models.map((model) => [model.name, gpusOf(model)])).toEqual([
      ['qwen-0.5b', 1],
      ['qwen-8b', 1],
      ['llama-8b', 1],
      ['qwen-32b', 2],
      ['llama-70b', 4],
    ]);
    expect(parseShellPrefix(registry.environment('LMCACHE').shellCommandPrefix)).toEqual({
      LMCACHE_CHUNK_SIZE: '256',
      LMCACHE_LOCAL_CPU: 'True',
    });
  });

  it('names what is near to an unknown name', () => {
    expect(() => builtInRegistry().model('lama-70b')).toThrow('model "lama-70b" is unknown; near: llama-70b');
    expect(() => builtInRegistry().environment('lmcach')).toThrow('environment "lmcach" is unknown; near: LMCACHE');
    expect(nearNames('xyz', ['qwen-8b'])).toEqual([]);
  });

  it('takes models, paths and environments from YAML', async () => {
    const file = write(
      'lmcache-ci.models.yaml',
      `models:
  - name: my-new-model
    huggingface_path: my-org/my-new-model
    tensor_parallel_size: 2
    max_model_length: 8192
    environment_paths: {LAB: /data/my-new-model}
environments:
  - name: LAB
    users: [alice]
    shell_command_prefix: "LMCACHE_CHUNK_SIZE=128 "
    server_ready_pattern: "Uvicorn running on .*"
`,
    );
    const registry = builtInRegistry();
    await loadRegistryFile(file, registry);
    expect(gpusOf(registry.model('my-new-model'))).toBe(2);
    expect(registry.modelPath('my-new-model', 'LAB')).toBe('/data/my-new-model');
    expect(registry.modelPath('my-new-model', 'LMCACHE')).toBe('my-org/my-new-model');
    expect(registry.environment('LAB').users).toEqual(['alice']);
    expect(findRegistryFiles([], directory)).toContain(file);
  });

  it('takes them from TypeScript', async () => {
    const file = write(
      'own.models.ts',
      `interface Registry { registerModel(model: object): void; registerEnvironmentPath(e: string, m: string, p: string): void }
export default (registry: Registry): void => {
  registry.registerModel({ name: 'tiny', huggingfacePath: 'a/tiny', tensorParallelSize: 1, pipelineParallelSize: 1, maxModelLength: 1024 });
  registry.registerEnvironmentPath('LMCACHE', 'tiny', '/data/tiny');
};
`,
    );
    const registry = builtInRegistry();
    await loadRegistryFile(file, registry);
    expect(registry.modelPath('tiny', 'LMCACHE')).toBe('/data/tiny');
  });

  it.each([
    ['a.yaml', 'models: [{name: x}]', /a\.yaml:1:10: models\[0\]\.huggingface_path is missing; allowed/],
    ['b.yaml', 'environments: [{name: x, shell_command_prefix: "a && b"}]', /b\.yaml:1:48: .*"a" is no assignment/],
    ['c.yaml', 'environments: [{name: x, server_ready_pattern: "("}]', /c\.yaml:1:48: .*allowed: a regular expression/],
    ['d.yaml', 'modles: []', /d\.yaml:1:1: the key "modles" is unknown; did you mean "models"\?/],
    ['e.ts', 'export default 5;', /e\.ts:1:1: allowed: a default export that is a function/],
    ['f.ts', 'export default () => { throw new Error("no"); };', /f\.ts:1:1: its function failed: no/],
    ['g.ts', 'const = 5', /g\.ts:1:1: the module cannot be loaded/],
  ])('tells what is wrong with %s', async (name, text, expected) => {
    await expect(loadRegistryFile(write(name, text), builtInRegistry())).rejects.toThrow(expected);
  });
});
