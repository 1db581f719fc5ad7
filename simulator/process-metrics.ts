import { readdirSync, readFileSync } from 'node:fs';
import { Counter, Gauge, type Registry } from 'prom-client';

/** The real servers' interpreter; nothing of Python runs here. */
const PYTHON = { implementation: 'CPython', major: '3', minor: '12', patchlevel: '3', version: '3.12.3' };
const GENERATIONS = ['0', '1', '2'];
const PAGE_BYTES = 4096;

/**
 * prometheus_client's standard part of /metrics: python_* as names only (no garbage of Python's is collected), process_*
 * of the simulator's own process, in wall seconds.
 */
export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  const collections: readonly (readonly [string, string])[] = [
    ['python_gc_objects_collected_total', 'Objects collected during gc'],
    ['python_gc_objects_uncollectable_total', 'Uncollectable objects found during GC'],
    ['python_gc_collections_total', 'Number of times this generation was collected'],
  ];
  for (const [name, help] of collections) {
    const counter = new Counter({ name, help, labelNames: ['generation'], registers });
    for (const generation of GENERATIONS) counter.inc({ generation }, 0);
  }
  new Gauge({
    name: 'python_info',
    help: 'Python platform information',
    labelNames: Object.keys(PYTHON),
    registers,
  }).set(PYTHON, 1);
  const startedAt = Date.now() / 1000 - process.uptime();
  const gauge = (name: string, help: string, read: () => number): void => {
    const own: Gauge = new Gauge({ name, help, registers, collect: () => own.set(read()) });
  };
  gauge('process_virtual_memory_bytes', 'Virtual memory size in bytes.', () => memoryPages(0) * PAGE_BYTES);
  gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', () => process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', () => startedAt);
  gauge('process_open_fds', 'Number of open file descriptors.', () => readdirSync('/proc/self/fd').length);
  gauge('process_max_fds', 'Maximum number of open file descriptors.', mostFileDescriptors);
  let counted = 0;
  const cpu: Counter = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    registers,
    collect: () => {
      const { user, system } = process.cpuUsage();
      const seconds = (user + system) / 1e6;
      cpu.inc(seconds - counted);
      counted = seconds;
    },
  });
}

function memoryPages(field: number): number {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[field]);
}

function mostFileDescriptors(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
}
