import { readFile, writeFile } from 'node:fs/promises';
import { assetPath } from '../steps/package-root.js';
import { allComparisons } from './recorded-comparisons.js';
import { renderAccuracy, renderAccuracyPlot, withAccuracy } from './simulator-accuracy.js';

/** Recomputes docs/simulator.md's tables and plot from the recordings: `npm run docs:simulator`. */
const data = await allComparisons();
const page = assetPath('docs', 'simulator.md');
await writeFile(page, withAccuracy(await readFile(page, 'utf8'), renderAccuracy(data)));
const plot = assetPath('docs', 'simulator-accuracy.svg');
await writeFile(plot, renderAccuracyPlot(data));
console.log(`wrote "${page}" and "${plot}"`);
