/** Something that is ready to leave. */
export interface Departure {
  send(): void;
}

/** What was made ready before its time, in the order in which it will leave. */
export class Outbox {
  #waiting: Departure[] = [];

  add(departure: Departure): void {
    this.#waiting.push(departure);
  }

  /** Its time has come. */
  sendAll(): void {
    const due = this.#waiting;
    this.#waiting = [];
    for (const departure of due) departure.send();
  }
}
