import { Counter, Gauge, Histogram, type Registry, Summary } from 'prom-client';

/** What one answered request adds. */
export interface AnsweredRequest {
  /** The route, or `none` where there is none. */
  readonly handler: string;
  readonly method: string;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Simulated seconds. */
  readonly seconds: number;
}

/** Routes that vLLM leaves out of these metrics. */
const EXCLUDED = new Set(['/metrics', '/health', '/load', '/ping', '/version', '/server_info', '/sim/control']);
/** Help texts of prometheus-fastapi-instrumentator. */
const HELP = {
  requests: 'Total number of requests by method, status and handler.',
  requestSize:
    'Content length of incoming requests by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ',
  responseSize:
    'Content length of outgoing responses by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ',
  duration: 'Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ',
  fineDuration:
    'Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ',
} as const;
const FINE_BUCKETS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60,
];

/** The http_* part of /metrics (prometheus-fastapi-instrumentator's names). @returns how to count a request. */
export function createHttpMetrics(registry: Registry): (answered: AnsweredRequest) => void {
  const registers = [registry];
  const requests = new Counter({
    name: 'http_requests_total',
    help: HELP.requests,
    labelNames: ['handler', 'method', 'status'],
    registers,
  });
  const sizes = (name: string, help: string): Summary<'handler'> =>
    new Summary({ name, help, labelNames: ['handler'], percentiles: [], registers });
  const requestSize = sizes('http_request_size_bytes', HELP.requestSize);
  const responseSize = sizes('http_response_size_bytes', HELP.responseSize);
  const fineDuration = new Histogram({
    name: 'http_request_duration_highr_seconds',
    help: HELP.fineDuration,
    buckets: FINE_BUCKETS,
    registers,
  });
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: HELP.duration,
    labelNames: ['handler', 'method'],
    buckets: [0.1, 0.5, 1],
    registers,
  });
  const created = {
    requests: createdGauge(registry, 'http_requests', HELP.requests, ['handler', 'method', 'status']),
    requestSize: createdGauge(registry, 'http_request_size_bytes', HELP.requestSize, ['handler']),
    responseSize: createdGauge(registry, 'http_response_size_bytes', HELP.responseSize, ['handler']),
    duration: createdGauge(registry, 'http_request_duration_seconds', HELP.duration, ['handler', 'method']),
  };
  createdGauge(registry, 'http_request_duration_highr_seconds', HELP.fineDuration, [])({});
  return ({ handler, method, status, requestBytes, responseBytes, seconds }) => {
    if (EXCLUDED.has(handler)) return;
    const statusClass = `${Math.floor(status / 100)}xx`;
    requests.inc({ handler, method, status: statusClass });
    created.requests({ handler, method, status: statusClass });
    created.requestSize({ handler });
    created.responseSize({ handler });
    created.duration({ handler, method });
    requestSize.observe({ handler }, requestBytes);
    responseSize.observe({ handler }, responseBytes);
    fineDuration.observe(seconds);
    duration.observe({ handler, method }, seconds);
  };
}

/** prometheus_client's companion of a metric: when each set of labels was seen first. @returns how to tell that it was. */
function createdGauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
): (labels: Readonly<Record<string, string>>) => void {
  const gauge = new Gauge({
    name: `${name}_created`,
    help,
    labelNames: [...labelNames],
    registers: [registry],
  });
  const seen = new Set<string>();
  return (labels) => {
    const key = Object.values(labels).join(' ');
    if (seen.has(key)) return;
    seen.add(key);
    gauge.set({ ...labels }, Date.now() / 1000);
  };
}
