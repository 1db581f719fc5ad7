import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeExperimentReport } from '../../report/experiments/write-experiment-report.js';
import { writeSweepReport } from '../../report/sweep/write-sweep-report.js';
import { type SweepSummary, sweepResultSchema } from '../../results-schema/sweep-summary.js';
import { contrast } from '../report/color-vision.js';
import { sampleExperimentCsv, sampleNotes } from '../report/sample-experiments.js';
import { largeSweep, sampleSweep } from '../report/sample-sweep.js';
import { openBrowser } from './browser.js';
import { outside, overlaps, type PageLayout, pageLayout } from './layout.js';

const evil = '"><img src=x onerror="window.pwned=1"></style><script>window.pwned=1</script>';
let directory = '';
let browser: Browser;

beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-pages-'));
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await rm(directory, { recursive: true });
});

async function sweepPage(name: string, summary: SweepSummary): Promise<string> {
  const file = path.join(directory, `${name}.json`);
  await writeFile(file, JSON.stringify(summary));
  const [page = ''] = await writeSweepReport(file, { formats: ['html'], outputDirectory: path.join(directory, name) });
  return page;
}

/** Opens a file and collects what should not be: messages on the console, errors, requests beyond the file. */
async function open(file: string, options: BrowserContextOptions): Promise<{ page: Page; trouble: string[] }> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const trouble: string[] = [];
  page.on('console', (message) => trouble.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => trouble.push(`error: ${error.message}`));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) trouble.push(`request: ${request.url()}`);
  });
  page.on('requestfailed', (request) => trouble.push(`failed: ${request.url()}`));
  await page.goto(pathToFileURL(file).href);
  return { page, trouble };
}

function expectReadable(layout: PageLayout): void {
  expect(layout.charts.length).toBeGreaterThan(0);
  for (const { box, labels, series } of layout.charts) {
    expect(series).toBeGreaterThan(0);
    expect(series).toBeLessThanOrEqual(20);
    expect(labels.length).toBeGreaterThan(series + 4);
    expect(overlaps(labels)).toEqual([]);
    expect(outside(labels, box)).toEqual([]);
  }
  expect(overlaps([...layout.charts.map(({ box }) => box), ...layout.lines])).toEqual([]);
  expect(layout.overflowing).toEqual([]);
  expect(layout.pageWidth).toBeLessThanOrEqual(layout.windowWidth);
}

describe('the report of a sweep of 200 experiments', () => {
  let file = '';
  beforeAll(async () => {
    file = await sweepPage('large', largeSweep());
  });

  it.each([
    ['a desktop', { viewport: { width: 1280, height: 900 } }],
    ['a phone', { viewport: { width: 390, height: 800 }, isMobile: true }],
  ])('is readable on %s: no error, no overlap, at most 20 lines a chart', async (_name, options) => {
    const { page, trouble } = await open(file, options);
    expectReadable(await pageLayout(page));
    expect(trouble).toEqual([]);
    await page.context().close();
  });

  it.each(['light', 'dark'] as const)('has text that can be read on a %s page', async (colorScheme) => {
    const { page } = await open(file, { colorScheme });
    const { background, color, charts } = await pageLayout(page);
    expect(contrast(hex(background), '#ffffff') < 1.5).toBe(colorScheme === 'light');
    for (const ink of new Set([color, ...charts.flatMap(({ colors }) => colors)])) {
      expect(contrast(hex(ink), hex(background)), ink).toBeGreaterThanOrEqual(4.5);
    }
    await page.context().close();
  });

  it('opens the values of a chart by keyboard', async () => {
    const { page } = await open(file, {});
    await page.locator('summary').first().focus();
    await page.keyboard.press('Enter');
    const table = page.locator('details[open] table');
    expect(await table.count()).toBe(1);
    expect(await table.locator('tbody tr').count()).toBe(10);
    await page.context().close();
  });
});

describe('hostile names', () => {
  it('stay text in the report of a sweep', async () => {
    const sample = sampleSweep([{ dataset: evil, cacheSizes: [64, 128], requestRates: [1, 2], evictions: [false] }]);
    const experiments = sample.experiments.map((one) => ({ ...one, serverLog: `javascript:window.pwned=1//${evil}` }));
    const first = experiments[0];
    if (first === undefined) throw new Error('the sample has experiments');
    const result = sweepResultSchema.parse({
      outcome: 'failed',
      startedAt: sample.createdAt,
      finishedAt: sample.createdAt,
      executionSeconds: 1,
      gpus: [],
      attempt: 1,
      reason: 'unknown',
      cause: 'exception',
      message: evil,
      evidence: [evil],
      measurement: null,
    });
    const file = await sweepPage('evil', {
      ...sample,
      tag: evil,
      experiments: [{ ...first, result }, ...experiments.slice(1)],
    });
    const { page, trouble } = await open(file, {});
    const { elements, links } = await pageLayout(page);
    expect(elements.filter((name) => ['script', 'img'].includes(name))).toEqual([]);
    expect(links.filter((link) => !link.startsWith('file:'))).toEqual([]);
    expect(await page.evaluate('window.pwned')).toBeUndefined();
    expect(await page.title()).toContain(evil);
    expect(trouble).toEqual([]);
    await page.context().close();
  });
});

describe('the report of a test function', () => {
  it.each([2, 45])('is readable with %d engines', async (engines) => {
    const csv = path.join(directory, `test_${engines}.csv`);
    await writeFile(csv, sampleExperimentCsv(engines));
    const { files } = await writeExperimentReport(csv, { formats: ['html'], notes: sampleNotes() });
    const { page, trouble } = await open(files[0] ?? '', { viewport: { width: 1280, height: 900 } });
    const layout = await pageLayout(page);
    expectReadable(layout);
    expect(layout.charts).toHaveLength(engines === 2 ? 7 : 19);
    expect(trouble).toEqual([]);
    await page.context().close();
  });
});

/** `rgb(20, 23, 27)` as `#14171b`. */
function hex(rgb: string): string {
  const parts = rgb.match(/\d+/g)?.slice(0, 3) ?? [];
  return `#${parts.map((part) => Number(part).toString(16).padStart(2, '0')).join('')}`;
}
