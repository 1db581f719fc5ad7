import { type FileHandle, open } from 'node:fs/promises';
import type { RequestRecord } from '../../workloads/request.js';
import { UsageError } from '../usage-error.js';

/** So many characters are written with one call. */
const BATCH = 64 * 1024;

/** A file with one JSON line for each request, written while the run goes on: what is read once is safe. */
export class RequestLog {
  readonly #file: FileHandle;
  #pending = '';
  #writing: Promise<void> = Promise.resolve();
  #error: unknown = null;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Replaces a file that is there. @throws UsageError when it cannot be written */
  static async create(path: string): Promise<RequestLog> {
    return new RequestLog(
      await open(path, 'w').catch((error) => {
        throw new UsageError(`--request-log "${path}" cannot be written: ${String(error)}`);
      }),
    );
  }

  add(record: RequestRecord): void {
    this.#pending += `${JSON.stringify({ ...record, tokenTimes: [...record.tokenTimes] })}\n`;
    if (this.#pending.length >= BATCH) {
      this.#flush();
    }
  }

  /** @throws the first error of writing */
  async close(): Promise<void> {
    this.#flush();
    await this.#writing;
    await this.#file.close();
    if (this.#error !== null) throw this.#error;
  }

  #flush(): void {
    const text = this.#pending;
    this.#pending = '';
    this.#writing = this.#writing
      .then(() => this.#file.appendFile(text))
      .catch((error) => {
        this.#error ??= error;
      });
  }
}
