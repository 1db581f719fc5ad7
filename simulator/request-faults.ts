import { seededRandom } from './chance.js';
import { type FaultName, NO_FAULTS, type SimFaults } from './faults.js';

/** What SIM_FAULT=crash-after=N throws. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

/** Decides which requests a server's faults strike: by their number since the faults were set, or by lot. */
export class RequestFaults {
  readonly #faults: () => SimFaults;
  #seen: SimFaults = NO_FAULTS;
  #requests = 0;
  #random = seededRandom(0);

  /** @param faults those of the moment. */
  constructor(faults: () => SimFaults) {
    this.#faults = faults;
  }

  /** Counts one more request. */
  count(): void {
    this.#present();
    this.#requests += 1;
  }

  isOn(name: FaultName): boolean {
    return this.#present().values.has(name);
  }

  /** More requests than `name=N` allows have come. */
  isOver(name: FaultName): boolean {
    const limit = this.#present().values.get(name);
    return limit !== undefined && this.#requests > limit;
  }

  /** Draws a lot: true for the share of calls that `name=PERCENT` asks for. */
  strikes(name: FaultName): boolean {
    const percent = this.#present().values.get(name);
    return percent !== undefined && this.#random() * 100 < percent;
  }

  /** Ends the process where crash-after or kill-after is due. @throws SimulatedCrash */
  dieIfDue(what: string): void {
    if (this.isOver('kill-after')) process.kill(process.pid, 'SIGKILL');
    if (this.isOver('crash-after')) throw new SimulatedCrash(`SIM_FAULT=${this.#seen.text}: ${what} dies now`);
  }

  #present(): SimFaults {
    const present = this.#faults();
    if (present !== this.#seen) {
      this.#seen = present;
      this.#requests = 0;
      this.#random = seededRandom(present.values.get('seed') ?? 0);
    }
    return present;
  }
}
