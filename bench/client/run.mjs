// `npm run bench:client -- --peers DIR [--rounds 5] [--scale 1] [--only a,b] [--output FILE]`: our client and vLLM's
// two against one server of known timing, each client pinned to one core and the server to another, in interleaved
// rounds. DIR is a venv outside the checkout: python3 -m venv DIR && DIR/bin/pip install 'vllm[bench]==0.32.0'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measureClient, startMock } from './measure.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tokenizer = path.join(root, 'test', 'fixtures', 'workloads', 'tokenizers', 'byte-level-bpe');

const { values } = parseArgs({
  options: {
    peers: { type: 'string' },
    rounds: { type: 'string', default: '5' },
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

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

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

const load1 = os.loadavg()[0].toFixed(1);
const summary = [];
for (const { name } of cases.filter((load) => wanted.includes(load.name))) {
  for (const client of Object.keys(clients)) {
    const own = samples.filter((sample) => sample.case === name && sample.client === client);
    const figures = Object.keys(own[0]).filter((key) => typeof own[0][key] === 'number' && key !== 'round');
    const entries = figures.map((key) => [
      key,
      {
        median: median(own.map((sample) => sample[key])),
        min: Math.min(...own.map((sample) => sample[key])),
        max: Math.max(...own.map((sample) => sample[key])),
      },
    ]);
    summary.push({ case: name, client, ...Object.fromEntries(entries) });
  }
}
const columns = Object.keys(summary[0]).slice(2);
process.stdout.write(`| case | client | ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length + 2)}\n`);
for (const line of summary) {
  const cells = columns.map(
    (key) => `${line[key].median.toPrecision(3)} (${line[key].min.toPrecision(3)}-${line[key].max.toPrecision(3)})`,
  );
  process.stdout.write(`| ${line.case} | ${line.client} | ${cells.join(' | ')} |\n`);
}
process.stdout.write(
  `\nMedians (spread) of ${rounds} rounds, ${scale === 1 ? 'full size' : `scaled by ${scale}`}; load average at the end ${load1}, ${os.cpus()[0]?.model ?? ''}, Node ${process.version}.\n`,
);
if (values.output !== undefined) writeFileSync(values.output, `${JSON.stringify({ samples, summary }, null, 1)}\n`);
