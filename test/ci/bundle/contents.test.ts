import { describe, expect, it } from 'vitest';
import { isLoadedInProduction, isOwnProductionFile } from '../../../ci/bundle/contents.js';

describe('of a dependency', () => {
  it.each([
    ['yaml', 'dist/doc/Document.js'],
    ['echarts', 'lib/chart/line.js'],
    ['pdfkit', 'js/pdfkit.node.mjs'],
    ['pdfkit', 'js/data/Helvetica.afm'],
    ['any', 'LICENSE'],
    ['any', 'package.json'],
    ['any', 'test.js'],
  ])('%s %s is taken', (name, file) => expect(isLoadedInProduction(name, file)).toBe(true));

  it.each([
    ['echarts', 'dist/echarts.js'],
    ['zrender', 'build/x.js'],
    ['pdfkit', 'js/pdfkit.standalone.js'],
    ['any', 'index.d.ts'],
    ['any', 'index.d.mts'],
    ['any', 'lib/index.js.map'],
    ['any', 'README.md'],
    ['any', 'test/x.js'],
    ['any', '.github/x.yml'],
  ])('%s %s is not', (name, file) => expect(isLoadedInProduction(name, file)).toBe(false));
});

describe('of our own package', () => {
  it.each(['dist/pipeline/cli.js', 'tests/tests.ts', 'steps/cleanup.mjs', 'dist/ci/real-runs/main.js'])(
    '%s is taken',
    (file) => expect(isOwnProductionFile(file)).toBe(true),
  );

  it.each(['dist/.lmcache-ci-compile', 'dist/.tsbuildinfo', 'dist/bench/x.js', 'dist/pipeline/cli.d.ts'])(
    '%s is not',
    (file) => expect(isOwnProductionFile(file)).toBe(false),
  );
});
