import type { JsonText } from '../json-text.js';
import type { BenchPrompt } from './options.js';

/** A prompt kept only in the form in which it is sent: as a string it would take two bytes a character more. */
export class EncodedPrompt implements BenchPrompt {
  readonly json: JsonText;
  readonly promptLen: number;
  readonly outputLen: number;

  constructor(json: JsonText, promptLen: number, outputLen: number) {
    this.json = json;
    this.promptLen = promptLen;
    this.outputLen = outputLen;
  }

  get text(): string {
    return String(JSON.parse(this.json.bytes.toString('utf8')));
  }
}
