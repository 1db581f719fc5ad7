import type { ServerResponse } from 'node:http';
import { seededRandom } from '../chance.js';
import type { FaultName } from '../faults.js';
import type { RequestFaults } from '../request-faults.js';
import type { AnswerChannel } from './answer-channel.js';

/** Faults that spoil an answer, in the order in which their lots are drawn. */
const ANSWER_FAULTS = ['garbage', 'half-json', 'stream-cut', 'endless-stream'] as const satisfies readonly FaultName[];
type AnswerFault = (typeof ANSWER_FAULTS)[number];
type SpoiltChannel = Omit<AnswerChannel, 'failure' | 'breakOff'>;
/** Events that leave before a stream is cut or broken. */
const SOUND_EVENTS = 3;
/** Wall milliseconds between the events of an answer that never ends. */
const ENDLESS_PACE_MS = 20;

/** The response, and how the head of a whole answer of so many bytes (null: not told) is written. */
interface Wire {
  readonly response: ServerResponse;
  openBody(length: number | null): void;
}

/** The channel as the faults of the moment have it; `sound` itself where none strikes. */
export function withFaults(sound: AnswerChannel, wire: Wire, faults: RequestFaults, seed: number): AnswerChannel {
  const fault = ANSWER_FAULTS.find((name) => faults.strikes(name));
  if (fault === undefined) return sound;
  // An answer that has failed already is not spoilt further.
  const ends = { failure: (text: string) => sound.failure(text), breakOff: () => sound.breakOff() };
  return { ...spoilt(fault, sound, wire, seed), ...ends };
}

function spoilt(fault: AnswerFault, sound: AnswerChannel, wire: Wire, seed: number): SpoiltChannel {
  const { response } = wire;
  switch (fault) {
    case 'garbage':
      return garbage(response, sound, seed);
    case 'half-json':
      return broken(wire, (text) => {
        response.end(text.slice(0, Math.ceil(text.length / 2)));
      });
    case 'stream-cut':
      return cut(wire);
    case 'endless-stream':
      return endless(wire);
  }
}

function garbage(response: ServerResponse, sound: AnswerChannel, seed: number): SpoiltChannel {
  const random = seededRandom(seed);
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
  return {
    events: ({ length }) => void response.write(noise(length)),
    lastEvents: ({ length }) => void response.end(noise(length)),
    body: ({ length }) => sound.body(noise(length).toString('latin1')),
  };
}

/** Three events pass, then `finish` gets the next one; whole bodies go to it too, with the head of a sound answer. */
function broken({ response, openBody }: Wire, finish: (text: string) => void): SpoiltChannel {
  let passed = 0;
  const events = (text: string): void => {
    if (response.writableEnded) return;
    passed += 1;
    if (passed <= SOUND_EVENTS) response.write(text);
    else finish(text);
  };
  return {
    events,
    lastEvents: (text) => {
      if (!response.writableEnded) finish(text);
    },
    body: (text) => {
      openBody(null);
      finish(text);
    },
  };
}

function cut(wire: Wire): SpoiltChannel {
  const { response } = wire;
  const breakOff = (text: string): void => {
    response.write(text.slice(0, Math.ceil(text.length / 2)), () => response.destroy());
  };
  return {
    ...broken(wire, breakOff),
    body: (text) => {
      wire.openBody(Buffer.byteLength(text));
      breakOff(text);
    },
  };
}

function endless({ response, openBody }: Wire): SpoiltChannel {
  let lastWhole = ': still here\n\n';
  const goOn = (text: string): void => {
    const timer = setInterval(() => response.write(text), ENDLESS_PACE_MS);
    response.on('close', () => clearInterval(timer));
  };
  return {
    events: (text) => {
      lastWhole = text;
      response.write(text);
    },
    lastEvents: () => goOn(lastWhole),
    body: () => {
      openBody(null);
      goOn(' ');
    },
  };
}
