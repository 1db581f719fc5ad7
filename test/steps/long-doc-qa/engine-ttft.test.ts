import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { watchEngineTtft } from '../../../steps/long-doc-qa/engine-ttft.js';

/** Answers /metrics with these pages, one after the other; 404 after the last. */
async function serving(pages: readonly string[], test: (url: string) => Promise<void>): Promise<void> {
  const left = [...pages];
  const server = createServer((_, response) => {
    const page = left.shift();
    response.writeHead(page === undefined ? 404 : 200).end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await test(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}

const page = (sum: string, count: string) =>
  `vllm:time_to_first_token_seconds_sum{engine="0"} ${sum}\nvllm:time_to_first_token_seconds_count{engine="0"} ${count}\n`;

async function meanOf(...pages: readonly string[]): Promise<number | null> {
  let mean: number | null = Number.NaN;
  await serving(pages, async (url) => {
    const watch = watchEngineTtft(url, AbortSignal.timeout(10_000));
    await watch.begin();
    mean = await watch.mean();
  });
  return mean;
}

it('is the mean of what was counted since the round began', async () => {
  expect(await meanOf(page('10', '4'), page('13', '16'))).toBe(0.25);
});

it.each([
  ['nothing was counted', [page('10', '4'), page('10', '4')]],
  ['there is no such histogram', ['x 1\n', 'x 2\n']],
  ['a value is no number', [page('10', '4'), page('NaN', '5')]],
  ['the server does not answer before', []],
  ['the server does not answer after', [page('10', '4')]],
])('is not known where %s', async (_, pages) => {
  expect(await meanOf(...pages)).toBeNull();
});
