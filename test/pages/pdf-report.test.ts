import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeExperimentReport } from '../../report/experiments/write-experiment-report.js';
import { writeSweepReport } from '../../report/sweep/write-sweep-report.js';
import { sampleExperimentCsv, sampleNotes } from '../report/sample-experiments.js';
import { largeSweep } from '../report/sample-sweep.js';
import { type Box, outside, overlaps } from './layout.js';

const run = promisify(execFile);
let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'lmcache-ci-pdf-'));
});
afterAll(() => rm(directory, { recursive: true }));

interface PdfPage {
  readonly page: Box;
  readonly words: readonly Box[];
}

/** Every page's words with their places, in points: what poppler makes of the file. */
async function pagesOf(file: string): Promise<readonly PdfPage[]> {
  const { stdout } = await run('pdftotext', ['-bbox', file, '-'], { maxBuffer: 64 << 20 });
  return stdout
    .split('<page ')
    .slice(1)
    .map((text) => ({
      page: { text: 'page', left: 0, top: 0, right: number(text, 'width'), bottom: number(text, 'height') },
      words: [...text.matchAll(/<word ([^>]*)>([^<]*)<\/word>/g)].map(([, place = '', word = '']) => ({
        text: word,
        left: number(place, 'xMin'),
        top: number(place, 'yMin'),
        right: number(place, 'xMax'),
        bottom: number(place, 'yMax'),
      })),
    }));
}

function number(text: string, attribute: string): number {
  return Number(new RegExp(`${attribute}="([\\d.]+)"`).exec(text)?.[1]);
}

function expectReadable(pages: readonly PdfPage[]): void {
  for (const { page, words } of pages) {
    expect(words.length).toBeGreaterThan(5);
    expect(overlaps(words)).toEqual([]);
    expect(outside(words, page, 0)).toEqual([]);
    expect(words.map(({ text }) => text)).toContain('SIMULATED');
  }
}

describe('the PDF of a sweep of 200 experiments', () => {
  it('has every word in its place, on every page', async () => {
    const summary = path.join(directory, 'summary.json');
    await writeFile(summary, JSON.stringify(largeSweep()));
    const [file = ''] = await writeSweepReport(summary, { formats: ['pdf'] });
    const pages = await pagesOf(file);
    expectReadable(pages);
    expect(pages.length).toBeGreaterThan(8);
    expect(pages.length).toBeLessThan(25);
    const text = pages.flatMap(({ words }) => words.map((word) => word.text)).join(' ');
    expect(text).toContain('Mean TTFT over cache size');
    expect(text).toContain('0.7 req/s, conversation-aware');
    expect(text).toContain('Throughput against TTFT: Pareto front');
    expect(text).toContain(`${pages.length} / ${pages.length}`);
  });
});

describe('the PDF of a test function', () => {
  it('has a page an experiment with both curves and the table, then GPU memory', async () => {
    const csv = path.join(directory, 'test_x.csv');
    await writeFile(csv, sampleExperimentCsv());
    const { files } = await writeExperimentReport(csv, { formats: ['pdf'], notes: sampleNotes() });
    const pages = await pagesOf(files[0] ?? '');
    expectReadable(pages);
    expect(pages).toHaveLength(4);
    const first = pages[0]?.words.map(({ text }) => text).join(' ');
    for (const part of [
      'Experiment 0: TTFT',
      'TTFT (s)',
      'Experiment 0: throughput',
      'throughput (tokens/s)',
      'Experiment 0: engines',
    ]) {
      expect(first).toContain(part);
    }
    expect(pages[3]?.words.map(({ text }) => text).join(' ')).toContain('GPU memory (GiB)');
  });

  it('is text in fonts that every reader has, and no picture', async () => {
    const fonts = await run('pdffonts', [path.join(directory, 'test_x.pdf')]);
    expect(
      fonts.stdout
        .trim()
        .split('\n')
        .slice(2)
        .map((line) => line.split(/\s+/)[0])
        .sort(),
    ).toEqual(['Helvetica', 'Helvetica-Bold']);
    const images = await run('pdfimages', ['-list', path.join(directory, 'test_x.pdf')]);
    expect(images.stdout.trim().split('\n')).toHaveLength(2);
  });
});
