// `npm run bench:client -- --peers DIR [--rounds 5] [--python-rounds 2] [--scale 1] [--only a,b] [--output FILE]`: our
// client and vLLM's two against one server of known timing, each client pinned to one core and the server to another,
// in interleaved rounds; Python's takes part in some of them only, since it takes two thirds of the time. DIR is a venv outside the checkout: python3 -m venv DIR && DIR/bin/pip install 'vllm[bench]==0.32.0'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bootstrap } from '../../pipeline/bootstrap.mjs';
import { measureClient, startMock } from './measure.mjs';

bootstrap();
const { formatMedians, formatRatios } = await import('../../dist/bench/client-figures.js');

const root = fileURLToPath(new URL('../../', import.meta.url));
const tokenizer = path.join(root, 'test', 'fixtures', 'workloads', 'tokenizers', 'byte-level-bpe');

const { values } = parseArgs({
  options: {
    peers: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    'python-rounds': { type: 'string', default: '2' },
    scale: { type: 'string', default: '1' },
    only: { type: 'string' },
    output: { type: 'string' },
    'client-core': { type: 'string', default: '0' },
    'server-core': { type: 'string', default: '1' },
  },
});

const cases = [
  { name: 'burst', prompts: 50, input: 10_000, output: 1, inFlight: null },
  { name: 'stream-64', prompts: 200, input: 1000, output: 100, inFlight: 64 },
  { name: 'stream-512', prompts: 2000, input: 500, output: 50, inFlight: 512 },
  { name: 'long', prompts: 100, input: 50_000, output: 20, inFlight: 16 },
];

/** Command lines of every client that is here, by name. */
function findClients() {
  const clients = { ours: [process.execPath, path.join(root, 'pipeline', 'lmcache-ci.mjs'), 'bench'] };
  if (values.peers === undefined) return clients;
  const python = path.join(values.peers, 'bin', 'vllm');
  if (existsSync(python)) clients['vllm-python'] = [python, 'bench', 'serve'];
  const libraries = path.join(values.peers, 'lib');
  for (const version of existsSync(libraries) ? readdirSync(libraries) : []) {
    const rust = path.join(libraries, version, 'site-packages', 'vllm', 'vllm-rs');
    if (existsSync(rust)) clients['vllm-rust'] = [rust, 'bench', 'serve'];
  }
  return clients;
}

function flagsOf(load, port, resultDir) {
  return [
    ...['--backend', 'openai', '--host', '127.0.0.1', '--port', String(port), '--endpoint', '/v1/completions'],
    ...['--model', 'm', '--tokenizer', tokenizer, '--dataset-name', 'random', '--num-prompts', String(load.prompts)],
    ...['--random-input-len', String(load.input), '--random-output-len', String(load.output), '--seed', '0'],
    ...(load.inFlight === null ? [] : ['--max-concurrency', String(load.inFlight)]),
    ...['--ignore-eos', '--disable-tqdm', '--save-result', '--save-detailed'],
    ...['--result-dir', resultDir, '--result-filename', 'result.json'],
  ];
}

const clients = findClients();
if (Object.keys(clients).length === 1) {
  process.stderr.write(
    "No peers: only our own client is measured. python3 -m venv DIR && DIR/bin/pip install 'vllm[bench]==0.32.0', then --peers DIR.\n",
  );
}
const rounds = Number(values.rounds);
const scale = Number(values.scale);
const wanted = values.only?.split(',') ?? cases.map(({ name }) => name);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'lmcache-ci-bench-client-'));
const samples = [];
const mock = await startMock(scratch, values['server-core']);
try {
  for (const load of cases.filter(({ name }) => wanted.includes(name))) {
    const scaled = { ...load, prompts: Math.max(1, Math.round(load.prompts * scale)) };
    for (let round = 0; round < rounds; round += 1) {
      // Another one goes first in each round.
      const names = Object.keys(clients);
      for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
        if (name === 'vllm-python' && round >= Number(values['python-rounds'])) continue;
        const command = [...clients[name], ...flagsOf(scaled, mock.port, scratch)];
        const figures = await measureClient(command, mock, values['client-core'], scratch);
        samples.push({ case: load.name, client: name, round, ...figures });
        process.stderr.write(`${load.name}, round ${round + 1}/${rounds}, ${name}: ${JSON.stringify(figures)}\n`);
      }
    }
  }
} finally {
  mock.stop();
  rmSync(scratch, { recursive: true, force: true });
}

const size = scale === 1 ? 'full size' : `scaled by ${scale}`;
const machine = `${os.availableParallelism()} cores of ${os.cpus()[0]?.model ?? '?'}, Node ${process.version}`;
process.stdout.write(`${formatMedians(samples)}

Medians (least-greatest), ${size}; ${machine}; load average at the end ${os.loadavg()[0].toFixed(1)}.

${formatRatios(samples)}
`);
if (values.output !== undefined) writeFileSync(values.output, `${JSON.stringify({ samples }, null, 1)}\n`);
