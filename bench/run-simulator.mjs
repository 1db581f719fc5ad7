// `npm run bench:simulator -- [--seconds 60] [--rounds 1] [--server-core 0] [--client-core 1]`: does the simulated server keep its
// schedule, and how much work does a token cost? Only node's own modules and the bootstrap: works in a fresh clone.
import { bootstrap } from '../pipeline/bootstrap.mjs';

bootstrap();
const { runSimulatorBenchmark } = await import('../dist/bench/simulator/simulator-benchmark.js');
process.exitCode = await runSimulatorBenchmark(process.argv.slice(2));
