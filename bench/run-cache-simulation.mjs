// Only node's own modules and the bootstrap: works in a fresh clone.
import { bootstrap } from '../pipeline/bootstrap.mjs';

bootstrap();
const { runCacheSimulationBenchmark } = await import('../dist/bench/cache-simulation.js');
process.exitCode = await runCacheSimulationBenchmark(process.argv.slice(2));
