import { closeSync, openSync, writeSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { type RunEvent, type RunEventInput, runEventSchema } from './events.js';
import { secrets } from './secrets.js';

/**
 * Appends a run's events to `events.jsonl`, one validated line each, written before `append` returns:
 * what happened before a crash is in the file. Secrets are hidden. `t` counts from the creation of the log.
 */
export class EventLog {
  readonly #fd: number;
  readonly #startedAt = performance.now();
  #open = true;
  #failure: Error | null = null;

  /** @throws when the file cannot be opened for appending. */
  constructor(path: string) {
    this.#fd = openSync(path, 'a', 0o644);
  }

  /** The first write that failed (a full disk, say); later events are then dropped, so that the run's own error stays first. */
  get failure(): Error | null {
    return this.#failure;
  }

  /**
   * Stamps and writes one event; returns it as written.
   * @throws ZodError when the event does not match its schema (a bug).
   */
  append(input: RunEventInput): RunEvent {
    const t = Math.round((performance.now() - this.#startedAt) * 1000) / 1_000_000;
    const event = runEventSchema.parse({ ...secrets.hideIn(input), t, at: new Date().toISOString(), pid: process.pid });
    if (this.#open && this.#failure === null) {
      try {
        writeWholly(this.#fd, Buffer.from(`${JSON.stringify(event)}\n`));
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
      }
    }
    return event;
  }

  /** Harmless when called twice; events after it are stamped but not written. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

function writeWholly(fd: number, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
}
