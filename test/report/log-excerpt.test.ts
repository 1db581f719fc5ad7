import { describe, expect, it } from 'vitest';
import { excerptOf, renderLog } from '../../report/log-excerpt.js';

const plain = { color: false };
const request = (answer: string) =>
  `(APIServer pid=7) INFO:     127.0.0.1:46030 - "POST /v1/completions HTTP/1.1" ${answer}`;

describe('the end of a log', () => {
  it('is its last 50 lines under its path', () => {
    const tail = Array.from({ length: 60 }, (_, index) => `line ${index}`);
    const lines = renderLog(excerptOf('/r/logs/vllm.log', tail), plain).split('\n');
    expect(lines).toHaveLength(51);
    expect(lines.slice(0, 2)).toEqual(['/r/logs/vllm.log (last 50 lines)', '  | line 10']);
    expect(lines.at(-1)).toBe('  | line 59');
  });

  it('keeps what the engine says, and requests that failed, though hundreds were answered since', () => {
    const answered = Array.from({ length: 300 }, () => request('200 OK'));
    const tail = ['ERROR lost the cache server', request('500 Internal Server Error'), ...answered];
    expect(renderLog(excerptOf('/v.log', tail), plain).split('\n')).toEqual([
      '/v.log (last 2 lines, without 300 answered requests)',
      '  | ERROR lost the cache server',
      `  | ${request('500 Internal Server Error')}`,
    ]);
  });

  it('is told to be empty', () => {
    expect(renderLog(excerptOf('/e.log', []), plain)).toBe('/e.log (empty)');
  });
});
