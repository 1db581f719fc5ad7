import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ProcessIdentity } from './live-run.js';

/** The fields of /proc/PID/stat that this project reads. */
export interface ProcessStat {
  readonly pid: number;
  /** `R`, `S`, `Z` (dead, not yet reaped), ... */
  readonly state: string;
  readonly parentPid: number;
  readonly processGroup: number;
  /** Clock ticks since boot. */
  readonly startTime: number;
}

/**
 * Parses a line of /proc/PID/stat (proc_pid_stat(5)). The command stands in parentheses and may itself
 * hold spaces and parentheses, so fields are counted from the last `)`.
 * @returns null for anything else.
 */
export function parseProcessStat(line: string): ProcessStat | null {
  const close = line.lastIndexOf(')');
  const pid = Number.parseInt(line, 10);
  const fields = line
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const stat = {
    pid,
    state: fields[0] ?? '',
    parentPid: Number(fields[1]),
    processGroup: Number(fields[2]),
    startTime: Number(fields[19]),
  };
  const numbers = [stat.pid, stat.parentPid, stat.processGroup, stat.startTime];
  return close > 0 && stat.state !== '' && numbers.every(Number.isSafeInteger) ? stat : null;
}

/** @returns null when there is no such process. */
export function readProcessStat(pid: number): ProcessStat | null {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return null;
  }
}

/** @returns null when there is no such process. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const stat = readProcessStat(pid);
  return stat ? { pid, startTime: stat.startTime } : null;
}

export function identifySelf(): ProcessIdentity {
  const self = identifyProcess(process.pid);
  if (!self) throw new Error('/proc/self/stat cannot be read: lmcache-ci needs Linux with /proc mounted');
  return self;
}

/** The same process still runs: a zombie or another process with its pid does not count. */
export function isProcessAlive(identity: ProcessIdentity): boolean {
  const stat = readProcessStat(identity.pid);
  return stat !== null && stat.startTime === identity.startTime && !isDead(stat);
}

function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X' || stat.state === 'x';
}

/** Ticks of /proc a second: USER_HZ, 100 on every architecture that runs here. */
const ticksPerSecond = 100;

/** How long ago a process with this start time was started. */
export function processAgeMs(startTime: number): number {
  const uptimeSeconds = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
  return (uptimeSeconds - startTime / ticksPerSecond) * 1000;
}

/** Every process that has not ended, zombies left out. */
export function listProcesses(): ProcessStat[] {
  const found: ProcessStat[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readProcessStat(Number(entry));
    if (stat && !isDead(stat)) found.push(stat);
  }
  return found;
}

/**
 * The environment a process was started with.
 * @returns null when it is gone or belongs to another user.
 */
export function readProcessEnvironment(pid: number): ReadonlyMap<string, string> | null {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return new Map(
      entries.flatMap((entry): [string, string][] => {
        const equals = entry.indexOf('=');
        return equals > 0 ? [[entry.slice(0, equals), entry.slice(equals + 1)]] : [];
      }),
    );
  } catch {
    return null;
  }
}

/** The command line, arguments joined by spaces; the kernel's name in brackets where there is none; null when it is gone. */
export function readCommandLine(pid: number): string | null {
  try {
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    return args.length > 0 ? args.join(' ') : `[${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}]`;
  } catch {
    return null;
  }
}

/** For a person who must find out why it does not end: `process 4711 (python x.py), state D in nv_ioctl`. */
export function describeProcess(pid: number): string {
  const stat = readProcessStat(pid);
  if (stat === null) return `process ${pid}, which this machine does not show`;
  return `process ${pid} (${readCommandLine(pid) ?? 'ending'}), state ${stat.state}${waitsIn(pid)}`;
}

/** The function of the kernel in which it waits; only its owner or root may see that. */
function waitsIn(pid: number): string {
  try {
    const place = readFileSync(`/proc/${pid}/wchan`, 'utf8');
    return place === '' || place === '0' ? '' : ` in ${place}`;
  } catch {
    return '';
  }
}

/** Identifies this boot of the machine. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Pids mean nothing outside their namespace, e.g. `pid:[4026531836]`. */
export function readPidNamespace(): string {
  return readlinkSync('/proc/self/ns/pid');
}
