import type { WorkloadConfiguration } from '../terms.js';
import { DummyText } from './dummy-text.js';

/** When each request is due: i / qps + offset, duration * qps of them. */
export function timestamps({ qps, duration, offset }: WorkloadConfiguration): readonly number[] {
  // 9 * (1 / 3) is a little less than 3.
  const count = Math.floor(duration * qps + 1e-6);
  return Array.from({ length: count }, (_, index) => index / qps + offset);
}

/** Tokens that a question has beside its dummy text: `Question 3:` and `?`. */
const questionFrame = 6;

/** A question that no other request asks, of about `length` tokens. */
export function indexedQuestion(index: number, length: number, tokensPerWord: number): string {
  const text = new DummyText(0x9e3779b9 + index, tokensPerWord).ofLength(Math.max(1, length - questionFrame));
  return `Question ${index}: ${text}?`;
}
