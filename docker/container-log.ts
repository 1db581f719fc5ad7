import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type OutputLog, openOutputLog } from '../engines/engine-log.js';
import type { LaunchSpec } from '../engines/launch-spec.js';

/** An engine's log file as two sinks for a container's demultiplexed output. */
export class ContainerLog {
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly #file: OutputLog;

  constructor(file: OutputLog) {
    this.#file = file;
    file.follow(this.stdout, this.stderr);
  }

  /** @throws EngineStartError when `logPath` cannot be written. */
  static async open(spec: Pick<LaunchSpec, 'name' | 'logFiles'>, logPath: string): Promise<ContainerLog> {
    return new ContainerLog(await openOutputLog(spec, logPath));
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
