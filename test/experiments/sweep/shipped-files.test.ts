import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { builtInRegistry } from '../../../experiments/sweep/built-in-registry.js';
import { buildGrid, takeShard } from '../../../experiments/sweep/grid.js';
import { type LoadOptions, parseSweep } from '../../../experiments/sweep/load-sweep.js';
import { SourceError } from '../../../experiments/sweep/source-problem.js';
import { sweepJsonSchema } from '../../../experiments/sweep/sweep-file-schema.js';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const options: LoadOptions = { registry: builtInRegistry(), formats: [] };

describe('the shipped sweeps', () => {
  it.each([
    ['qwen8b', 12, 1],
    ['llama70b', 8, 4],
    ['eviction', 6, 1],
  ])('%s is a sound file once its data sets are there', (name, experiments, gpus) => {
    const file = `examples/sweeps/${name}.yaml`;
    // Stand-ins for the data sets; any file will do here.
    const text = read(file).replaceAll(/\.\.\/data\/\w+\.csv/g, (path) =>
      path.includes('5_29') ? 'qwen8b.yaml' : 'llama70b.yaml',
    );
    const [definition] = parseSweep(fileURLToPath(new URL(file, root)), text, options);
    if (definition === undefined) throw new Error('no document');
    const grid = buildGrid(definition, options.registry, 'LMCACHE', () => 'conversation-csv');
    expect(grid).toHaveLength(experiments);
    expect(new Set(grid.map((experiment) => experiment.name)).size).toBe(experiments);
    expect(grid.every((experiment) => experiment.gpus === gpus)).toBe(true);
    const shards = [1, 2, 3].flatMap((index) => takeShard(grid, { index, of: 3 }));
    expect(new Set(shards)).toEqual(new Set(grid));
  });

  it('say where their data sets were looked for', () => {
    const text = read('examples/sweeps/qwen8b.yaml').replaceAll('../data/', '../nowhere/');
    const file = fileURLToPath(new URL('examples/sweeps/qwen8b.yaml', root));
    const workingDirectory = fileURLToPath(root);
    expect(() => parseSweep(file, text, { ...options, workingDirectory })).toThrow(SourceError);
    expect(() => parseSweep(file, text, { ...options, workingDirectory })).toThrow(
      /path is "\.\.\/nowhere\/cw_logs_5_29_5am_6am\.csv", and there is no such file; tried: ".*\/examples\/nowhere\/cw_.*" and ".*nowhere/,
    );
    // And how to come by one that was never public.
    const made = fileURLToPath(new URL('examples/nowhere/cw_logs_5_28_19pm_20pm.csv', root));
    expect(() => parseSweep(file, text, { ...options, workingDirectory })).toThrow(
      `; a stand-in is made by: lmcache-ci traces generate "${made}" --like cw_logs_5_28_19pm_20pm`,
    );
    const own = text.replaceAll(/cw_logs_\w+/g, 'mine');
    expect(() => parseSweep(file, own, { ...options, workingDirectory })).toThrow(/mine\.csv"$/m);
  });

  it('come with the JSON Schema that the command prints', () => {
    expect(JSON.parse(read('examples/sweeps/sweep.schema.json'))).toEqual(JSON.parse(sweepJsonSchema()));
    // What an editor shows beside a key.
    expect(JSON.parse(sweepJsonSchema())).toMatchObject({
      properties: {
        tag: { description: expect.stringContaining('100 characters') },
        experiments: { description: expect.stringContaining('datasets') },
      },
      required: ['experiments'],
    });
  });
});

describe('the CI files', () => {
  it('give each Buildkite job its shard, and merge them', () => {
    const stepSchema = z.looseObject({ command: z.string(), parallelism: z.number().optional() });
    const { steps } = z.object({ steps: z.array(stepSchema) }).parse(parse(read('ci/buildkite-sweep.yml')));
    expect(steps[0]?.parallelism).toBe(4);
    // As the agent's shell gets it.
    expect(steps[0]?.command.replaceAll('$$', '$')).toBe(
      'npx lmcache-ci sweep --yaml "$SWEEP_YAML" --shard "$((BUILDKITE_PARALLEL_JOB + 1))/$BUILDKITE_PARALLEL_JOB_COUNT"',
    );
    expect(steps[1]?.command).toContain('lmcache-ci sweep merge logs/*-of-* --out logs/merged');
  });

  it('give each pod of the indexed Job its shard', () => {
    const { spec } = parse(read('ci/kubernetes-sweep.yml'));
    expect(spec).toMatchObject({ completionMode: 'Indexed', completions: 4, parallelism: 4 });
    const [container] = spec.template.spec.containers;
    expect(container.args[0]).toContain(`--shard "$((JOB_COMPLETION_INDEX + 1))/${spec.completions}" --resume`);
    const volumes = spec.template.spec.volumes.map(({ name }: { name: string }) => name);
    for (const { name } of container.volumeMounts) expect(volumes).toContain(name);
  });
});
