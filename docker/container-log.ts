import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type EngineLog, openEngineLog } from '../engines/engine-log.js';

/** An engine's log file as two sinks for a container's demultiplexed output. */
export class ContainerLog {
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly #file: EngineLog;

  constructor(file: EngineLog) {
    this.#file = file;
    file.follow(this.stdout);
    file.follow(this.stderr);
  }

  /** @throws the file system's error when `logPath` cannot be written. */
  static async open(logPath: string): Promise<ContainerLog> {
    return new ContainerLog(await openEngineLog(logPath));
  }

  /** A line of our own. */
  note(line: string): void {
    this.stderr.write(`lmcache-ci: ${line}\n`);
  }

  /** Writes what is held and closes the file. Never rejects. */
  async close(): Promise<void> {
    await Promise.allSettled([this.stdout, this.stderr].map((stream) => finished(stream.end())));
    await this.#file.close();
  }
}
