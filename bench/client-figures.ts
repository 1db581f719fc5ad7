import { median } from '../workloads/statistics.js';

/** One run of one client under one load; milliseconds unless the name says otherwise. */
export interface ClientSample {
  readonly case: string;
  readonly client: string;
  readonly failed: number;
  readonly ttftErrorMedian: number;
  readonly ttftErrorP99: number;
  readonly cpuUsPerToken: number;
  readonly wallSeconds: number;
  readonly firstToLastByteSeconds: number;
  readonly startSeconds: number;
  readonly peakMiB: number;
}

type Figure = Exclude<keyof ClientSample, 'case' | 'client'>;

const FIGURES: readonly (readonly [Figure, string, digits: number])[] = [
  ['ttftErrorMedian', 'TTFT error, median ms', 2],
  ['ttftErrorP99', 'TTFT error, p99 ms', 2],
  ['cpuUsPerToken', 'CPU a token, us', 1],
  ['wallSeconds', 'wall, s', 2],
  ['firstToLastByteSeconds', 'first to last byte, s', 2],
  ['startSeconds', 'start, s', 2],
  ['peakMiB', 'peak, MiB', 0],
];

/** What a figure of ours may be at most, as a share of each peer's. */
interface Bound {
  readonly case: string;
  readonly figure: Figure;
  readonly python: number;
  readonly rust: number;
}

const bound = (name: string, figure: Figure, python: number, rust: number): Bound => ({
  case: name,
  figure,
  python,
  rust,
});

const BOUNDS: readonly Bound[] = [
  bound('burst', 'ttftErrorMedian', 1 / 10, 1),
  bound('stream-64', 'cpuUsPerToken', 1 / 8, 1),
  bound('stream-64', 'ttftErrorP99', 1 / 10, 1),
  bound('stream-512', 'cpuUsPerToken', 1 / 8, 1),
  bound('stream-512', 'ttftErrorP99', 1 / 5, 1),
  bound('stream-512', 'wallSeconds', 1, 1),
  bound('long', 'firstToLastByteSeconds', 1, 1),
  bound('long', 'ttftErrorMedian', 1, 1),
  ...['burst', 'stream-64', 'stream-512'].map((name) => bound(name, 'startSeconds', 1 / 8, 2)),
  bound('long', 'startSeconds', 1, 2),
  ...['burst', 'stream-64', 'stream-512', 'long'].map((name) => bound(name, 'peakMiB', 1 / 5, 1)),
];

const PEERS = { python: 'vllm-python', rust: 'vllm-rust' } as const;

/** Markdown: medians with the least and the greatest value, a line for each case and client. */
export function formatMedians(samples: readonly ClientSample[]): string {
  const lines = [
    `| case | client | runs | failed requests | ${FIGURES.map(([, title]) => title).join(' | ')} |`,
    `|${'---|'.repeat(FIGURES.length + 4)}`,
  ];
  for (const name of new Set(samples.map((sample) => sample.case))) {
    for (const client of new Set(samples.map((sample) => sample.client))) {
      const own = select(samples, name, client);
      if (own.length > 0) {
        const failed = own.reduce((sum, sample) => sum + sample.failed, 0);
        const cells = FIGURES.map(([figure, , digits]) => {
          const values = own.map((sample) => sample[figure]);
          const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)];
          return `${middle.toFixed(digits)} (${least.toFixed(digits)}-${most.toFixed(digits)})`;
        });
        lines.push(`| ${[name, client, own.length, failed, ...cells].join(' | ')} |`);
      }
    }
  }
  return lines.join('\n');
}

/** Markdown: our medians over the peers', what they may be, and whether they are. Errors count by their size. */
export function formatRatios(samples: readonly ClientSample[]): string {
  const lines = [
    "| case | figure | ours | of Python's | of Rust's |",
    '|---|---|---|---|---|',
    ...BOUNDS.flatMap((wanted) => {
      const ours = medianOf(samples, wanted, 'ours');
      if (ours === null) {
        return [];
      }
      const [, title = '', digits = 2] = FIGURES.find(([figure]) => figure === wanted.figure) ?? [];
      const cells = (['python', 'rust'] as const).map((peer) => {
        const theirs = medianOf(samples, wanted, PEERS[peer]);
        return theirs === null ? '' : describeRatio(ours / theirs, wanted[peer]);
      });
      return [`| ${[wanted.case, title, ours.toFixed(digits), ...cells].join(' | ')} |`];
    }),
  ];
  return lines.join('\n');
}

function describeRatio(ratio: number, most: number): string {
  const text = most < 1 ? `1/${(1 / ratio).toFixed(1)}` : ratio.toFixed(2);
  const limit = most < 1 ? `1/${(1 / most).toFixed(0)}` : String(most);
  // Two medians that are equal as far as they are printed are equal.
  const isMet = most < 1 ? ratio <= most : Number(ratio.toFixed(2)) <= most;
  return `${text} (at most ${limit}): ${isMet ? 'met' : '**missed**'}`;
}

function medianOf(samples: readonly ClientSample[], { case: name, figure }: Bound, client: string): number | null {
  const values = select(samples, name, client).map((sample) => Math.abs(sample[figure]));
  return values.length === 0 ? null : median(values);
}

function select(samples: readonly ClientSample[], name: string, client: string): readonly ClientSample[] {
  return samples.filter((sample) => sample.case === name && sample.client === client);
}
