import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, onTestFinished, test } from 'vitest';
import { collectYoungGeneration } from '../../simulator/young-generation.js';

test('young garbage, and it alone, is collected when asked for', async () => {
  const kinds: unknown[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push('detail' in entry && Object(entry.detail).kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  onTestFinished(() => observer.disconnect());
  for (let call = 0; call < 20; call += 1) collectYoungGeneration();
  // Others may come between: of a program's own accord.
  const minor = () => kinds.filter((kind) => kind === constants.NODE_PERFORMANCE_GC_MINOR).length;
  await expect.poll(minor).toBeGreaterThanOrEqual(20);
  expect(kinds.length - minor()).toBeLessThan(20);
});
