import { textTable } from '../../report/text-table.js';
import { secrets } from '../../results-schema/secrets.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { environmentOption, modelsOption } from './shared-options.js';
import { chooseEnvironment, loadRegistry } from './sweep-plan.js';

/** `lmcache-ci environments` */
export const environmentsCommand: Command = {
  async build(parser) {
    return parser
      .usage(
        '$0 environments [options]\n\nLists the environments that sweeps know; * marks the one that is chosen here.',
      )
      .option('models', modelsOption)
      .option('environment', environmentOption)
      .example('$0 environments', 'which one a sweep takes, by user name')
      .example('$0 environments --environment LMCACHE', 'as with sweep --environment')
      .epilogue(describeExitCodes({ 0: 'listed', 2: 'a file that is not what it should be' }));
  },
  async run(parsed) {
    const registry = await loadRegistry(parsed, null);
    const chosen = chooseEnvironment(registry, parsed['environment']);
    const head = ['', 'name', 'users', 'shell_command_prefix', 'server_ready_pattern'];
    const rows = registry.environments.map((environment) => [
      environment.name === chosen.name ? '*' : '',
      environment.name,
      environment.users.join(', ') || 'everybody else',
      environment.shellCommandPrefix.trim(),
      environment.serverReadyPattern,
    ]);
    process.stdout.write(secrets.hide(`${textTable([head, ...rows], [])}\n`));
    return 0;
  },
};
