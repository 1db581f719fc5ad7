import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { DockerError } from './errors.js';

const configSchema = z.object({ currentContext: z.string().catch('') });
const contextSchema = z.object({ Endpoints: z.object({ docker: z.object({ Host: z.string().min(1) }) }) });

/**
 * Where the daemon listens, decided as Docker's own command line does: DOCKER_HOST, else the context of DOCKER_CONTEXT or
 * of `docker context use` (a rootless daemon's, say), else Docker Desktop's socket of this user where there is one, else
 * the system's.
 * @returns e.g. `unix:///run/user/1000/docker.sock`
 * @throws DockerError when the context that was chosen is not there
 */
export function daemonAddress(environment: NodeJS.ProcessEnv = process.env): string {
  const given = environment['DOCKER_HOST'];
  if (given) return given;
  const folder = environment['DOCKER_CONFIG'] || path.join(homedir(), '.docker');
  const context = environment['DOCKER_CONTEXT'] || readContextName(folder);
  if (context !== '' && context !== 'default') return endpointOf(folder, context);
  const desktop = path.join(homedir(), '.docker', 'run', 'docker.sock');
  return `unix://${existsSync(desktop) ? desktop : '/var/run/docker.sock'}`;
}

/** Empty where none was chosen, or Docker's own tools could not read it either. */
function readContextName(folder: string): string {
  try {
    return configSchema.parse(JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'))).currentContext;
  } catch {
    return '';
  }
}

/** Contexts lie in folders named by the hash of their names (docker/cli, cli/context/store). */
function endpointOf(folder: string, context: string): string {
  const id = createHash('sha256').update(context).digest('hex');
  try {
    const file = path.join(folder, 'contexts', 'meta', id, 'meta.json');
    return contextSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).Endpoints.docker.Host;
  } catch (error) {
    throw new DockerError(
      'daemon-unreachable',
      `The Docker context "${context}" was chosen, and where its daemon is cannot be read (\`docker context inspect\`). ` +
        'Choose another (`docker context use default`), or set DOCKER_HOST.',
      { cause: error },
    );
  }
}
