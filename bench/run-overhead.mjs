// Only node's own modules and the bootstrap: works in a fresh clone.
import { bootstrap } from '../pipeline/bootstrap.mjs';

bootstrap();
const { runOverheadBenchmark } = await import('../dist/bench/overhead.js');
await runOverheadBenchmark(process.argv.slice(2));
