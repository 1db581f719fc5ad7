import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { parse } from 'dotenv';
import { secrets } from '../results-schema/secrets.js';
import { openContainerCleaner } from './container-cleaner.js';
import { Keeper, type KeeperConnection } from './keeper.js';
import type { KeeperAnswer } from './keeper-protocol.js';
import { openRegistry } from './registry.js';

/** Usage: node keeper-main.js REGISTRY_DIRECTORY; see keeper-protocol.ts for what it says and hears. */
const registry = openRegistry(process.argv[2]);
// Nothing that is written for a run may be writable for everybody, whatever the shell's umask.
process.umask(process.umask() | 0o022);
learnDotenv();
let listening: Server | null = null;
/** All clients' streams: what was said must arrive before the end. */
const outputs = new Set<Writable>();

const keeper = new Keeper({
  registry,
  async createRuntime(kind) {
    if (kind === 'process') return (await import('./process-runtime.js')).createProcessRuntime();
    // Docker's client takes longer to load than everything else here.
    const [{ DockerRuntime }, { openContainerHost }] = await Promise.all([
      import('../docker/docker-runtime.js'),
      import('../docker/client.js'),
    ]);
    return DockerRuntime.open(openContainerHost);
  },
  openCleaner: () => openContainerCleaner(registry.name),
  listen,
  finish: () => void Promise.all([...outputs].map(flush)).then(() => process.exit(0)),
});

// Ctrl-C and a closed terminal are the orchestrator's business; the keeper ends when its run does.
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('SIGTERM', () => void keeper.release().then(() => process.exit(0)));
process.on('uncaughtException', (error) => {
  console.error(secrets.hide(`The keeper failed and ends its run: ${error.stack ?? error.message}`));
  void keeper.release().then(() => process.exit(1));
});

serve(process.stdin, process.stdout, 'orchestrator');

function serve(input: Readable, output: Writable, kind: KeeperConnection['kind']): void {
  const connection: KeeperConnection = {
    kind,
    send(answer: KeeperAnswer) {
      if (output.writable) output.write(`${JSON.stringify(answer)}\n`);
    },
  };
  // A client that is gone must not take the keeper with it (EPIPE, ECONNRESET).
  output.on('error', () => {});
  output.once('close', () => outputs.delete(output));
  outputs.add(output);
  input.on('error', () => {});
  keeper.connect(connection);
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // readline passes its input's errors on as its own: a joined process that is killed must not end the run.
  lines.on('error', () => {});
  lines.on('line', (line) => void keeper.receive(line, connection));
  // Whichever of the two comes: a socket that is reset never says `end`.
  const left = once(() => void keeper.disconnect(connection));
  input.once('end', left);
  input.once('close', left);
}

/** The orchestrator reads its settings from here; what is secret among them must not stand in an engine's log. */
function learnDotenv(): void {
  try {
    secrets.learnEnvironment(parse(readFileSync('.env')));
  } catch {
    // There is none, or the orchestrator has said what is wrong with it.
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

function flush(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (output.writable) output.write('', () => resolve());
    else resolve();
  });
}

async function listen(socketPath: string): Promise<void> {
  // Its end removes the file of its name, which must not be the new one's. Who is connected stays so.
  listening?.close();
  rmSync(socketPath, { force: true });
  const server = createServer((socket: Socket) => serve(socket, socket, 'joined'));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => resolve());
  });
  listening = server;
}
