import type { ServerResponse } from 'node:http';

/** Where the parts of one answer go. */
export interface AnswerChannel {
  /** Events of a stream, blank lines included. */
  events(text: string): void;
  /** The last events of a stream. */
  lastEvents(text: string): void;
  /** A whole answer that is not streamed. */
  body(text: string): void;
}

/** The channel of a sound server. @param send writes a whole answer with its head. */
export function soundChannel(response: ServerResponse, send: (body: string) => void): AnswerChannel {
  return {
    events(text) {
      response.write(text);
      // Node would hold it back until the engine has chosen its next step, half a millisecond later.
      response.socket?.uncork();
    },
    lastEvents: (text) => void response.end(text),
    body: send,
  };
}
