import { gpusOf } from '../../experiments/sweep/model-registry.js';
import { textTable } from '../../report/text-table.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { modelsOption } from './shared-options.js';
import { loadRegistry } from './sweep-plan.js';

/** `lmcache-ci models` */
export const modelsCommand: Command = {
  async build(parser) {
    return parser
      .usage('$0 models [options]\n\nLists the models that sweeps know: those of the package and of your own files.')
      .option('models', modelsOption)
      .example('$0 models', 'names for model_name')
      .example('$0 models --models my.models.yaml', 'your own too')
      .epilogue(describeExitCodes({ 0: 'listed', 2: 'a file that is not what it should be' }));
  },
  async run(parsed) {
    const registry = await loadRegistry(parsed, null);
    const head = ['name', 'Hugging Face path', 'TP', 'PP', 'GPUs', 'max length', 'paths by environment'];
    const rows = registry.models.map((model) => [
      model.name,
      model.huggingfacePath,
      String(model.tensorParallelSize),
      String(model.pipelineParallelSize),
      String(gpusOf(model)),
      String(model.maxModelLength),
      Object.entries(registry.pathsOf(model.name))
        .map(([environment, path]) => `${environment}: ${path}`)
        .join(', '),
    ]);
    process.stdout.write(`${textTable([head, ...rows], [2, 3, 4, 5])}\n`);
    return 0;
  },
};
