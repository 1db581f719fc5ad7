import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { readCommandLine } from './process-identity.js';

/** O_WRONLY or O_RDWR of the octal flags in /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)). */
const writingModes = 0o3;

/**
 * Who else writes below a directory: a process of this user that has a file there open for writing. Readers, as
 * `tail -f`, do not count.
 * @returns `process 4711 (node ...)`, null when there is none
 */
export function findWriter(directory: string): string | null {
  const below = `${path.resolve(directory)}${path.sep}`;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    if (writesBelow(pid, below)) return `process ${pid} (${readCommandLine(Number(pid)) ?? 'ending'})`;
  }
  return null;
}

function writesBelow(pid: string, below: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(
      (descriptor) =>
        readlinkSync(`/proc/${pid}/fd/${descriptor}`).startsWith(below) && isOpenForWriting(pid, descriptor),
    );
  } catch {
    // It has ended, closed the file just now, or is another user's.
    return false;
  }
}

function isOpenForWriting(pid: string, descriptor: string): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'))?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & writingModes) !== 0;
}
