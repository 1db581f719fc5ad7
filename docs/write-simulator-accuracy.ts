import { readFile, writeFile } from 'node:fs/promises';
import { assetPath } from '../steps/package-root.js';
import { comparisonsOf } from './recorded-comparisons.js';
import { renderAccuracy, renderAccuracyPlot, withAccuracy } from './simulator-accuracy.js';

/** Recomputes docs/simulator.md's tables and plot from the recordings: `npm run docs:simulator`. */
const data = {
  h200: await comparisonsOf('h200'),
  'h200-batch-invariant': await comparisonsOf('h200-batch-invariant'),
  'h200-l2-mock': await comparisonsOf('h200-l2-mock'),
};
const page = assetPath('docs', 'simulator.md');
await writeFile(page, withAccuracy(await readFile(page, 'utf8'), renderAccuracy(data)));
const plot = assetPath('docs', 'simulator-accuracy.svg');
await writeFile(plot, renderAccuracyPlot(data));
console.log(`wrote "${page}" and "${plot}"`);
