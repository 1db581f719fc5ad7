import { ask, ServerAnswerError } from './server-answer.js';

export type Labels = Readonly<Record<string, string>>;

export interface MetricSample {
  readonly name: string;
  readonly labels: Labels;
  /** NaN and infinities as the server wrote them. */
  readonly value: number;
}

/** One reading of a server's metrics. */
export interface MetricsSnapshot {
  readonly samples: readonly MetricSample[];
  /** Whether any series of this exact name exists. */
  has(name: string): boolean;
  /** Sum over the series of this name that carry all these labels; 0 where there is none, NaN where one is NaN. */
  sum(name: string, labels?: Labels): number;
}

const SCRAPE_TIMEOUT_MS = 10_000;
/** name, optional {labels}, value, optional timestamp. */
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{.*\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y;

/**
 * Reads Prometheus' text format 0.0.4 (also the sample lines of OpenMetrics). Lines that are no sample are skipped:
 * one odd exporter must not hide all other figures.
 */
export function parseMetrics(text: string): MetricsSnapshot {
  const samples: MetricSample[] = [];
  for (const rawLine of text.split('\n')) {
    const line = rawLine.trim();
    const match = line === '' || line.startsWith('#') ? null : SAMPLE.exec(withoutExemplar(line));
    const [, name, labelText, valueText] = match ?? [];
    const value = valueText === undefined ? null : parseValue(valueText);
    const labels = parseLabels(labelText ?? '{}');
    if (name !== undefined && value !== null && labels !== null) {
      samples.push({ name, labels, value });
    }
  }
  return snapshotOf(samples);
}

/**
 * @param url of the metrics page, or of the server: `/metrics` is then appended
 * @throws ServerUnreachableError, ServerAnswerError.
 */
export async function scrapeMetrics(url: string, signal: AbortSignal): Promise<MetricsSnapshot> {
  const page = /\/metrics\/?$/.test(url) ? url : `${url.replace(/\/+$/, '')}/metrics`;
  const answer = await ask({ baseUrl: page, model: '' }, 'GET', '', { signal, timeoutMs: SCRAPE_TIMEOUT_MS });
  if (answer.status === 200) {
    return parseMetrics(answer.text);
  }
  throw new ServerAnswerError(
    `GET ${page} answered HTTP ${answer.status}: ${answer.text.slice(0, 300)}`,
    answer.status,
  );
}

/**
 * What happened between two readings, series by series: a series that is new counts from 0, one that is gone is left
 * out, and one that fell was reset in between (its server restarted) and counts from 0 too.
 */
export function difference(before: MetricsSnapshot, after: MetricsSnapshot): MetricsSnapshot {
  const earlier = new Map(before.samples.map((sample) => [seriesKey(sample), sample.value]));
  return snapshotOf(
    after.samples.map((sample) => {
      const start = earlier.get(seriesKey(sample)) ?? 0;
      return { ...sample, value: sample.value < start ? sample.value : sample.value - start };
    }),
  );
}

function snapshotOf(samples: readonly MetricSample[]): MetricsSnapshot {
  const byName = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const series = byName.get(sample.name);
    if (series === undefined) {
      byName.set(sample.name, [sample]);
    } else {
      series.push(sample);
    }
  }
  return {
    samples,
    has: (name) => byName.has(name),
    sum: (name, labels = {}) => {
      let total = 0;
      for (const sample of byName.get(name) ?? []) {
        if (Object.entries(labels).every(([label, value]) => sample.labels[label] === value)) {
          total += sample.value;
        }
      }
      return total;
    },
  };
}

function seriesKey(sample: MetricSample): string {
  return JSON.stringify([sample.name, Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** OpenMetrics appends `# {trace_id="..."} 1.0 ...` to bucket lines; a `#` inside a label's quotes is no exemplar. */
function withoutExemplar(line: string): string {
  const marker = line.lastIndexOf(' # {');
  return marker > line.indexOf('} ') && marker > 0 ? line.slice(0, marker) : line;
}

function parseValue(text: string): number | null {
  const lower = text.toLowerCase();
  if (lower === 'nan') {
    return Number.NaN;
  }
  const infinity = /^([+-]?)inf(?:inity)?$/.exec(lower);
  if (infinity !== null) {
    return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/.test(lower) ? Number(lower) : null;
}

function parseLabels(braced: string): Labels | null {
  const inside = braced.slice(1, -1).trim();
  const labels: Record<string, string> = {};
  let position = 0;
  while (position < inside.length) {
    LABEL.lastIndex = position;
    const match = LABEL.exec(inside);
    const [whole, name, value] = match ?? [];
    if (whole === undefined || name === undefined || value === undefined) {
      return null;
    }
    labels[name] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    position += whole.length;
  }
  return labels;
}
