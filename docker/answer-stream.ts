import { addAbortSignal, Readable } from 'node:stream';

/** Lines of an answer that are not blank. Ends with the stream's error; a connection that breaks in the middle is one. */
export async function* linesOf(stream: NodeJS.ReadableStream, signal: AbortSignal): AsyncIterable<string> {
  if (!(stream instanceof Readable)) throw new TypeError('the answer of the Docker API is not a stream');
  addAbortSignal(signal, stream);
  stream.setEncoding('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    yield* lines.filter((line) => line.trim() !== '');
  }
  if (rest.trim() !== '') yield rest;
}
