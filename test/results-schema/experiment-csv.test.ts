import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExperimentCsvError, experimentCsvColumns, parseExperimentCsv } from '../../results-schema/experiment-csv.js';

const head = `${experimentCsvColumns.join(',')}\n`;
const row = '0,8.0,1,2,0.5,40.1,8192,16,"{""gpu-0"": 1234, ""gpu-1"": 3.5}"\n';

function faultOf(text: string): string {
  try {
    parseExperimentCsv(text, 'x.csv');
  } catch (error) {
    if (error instanceof ExperimentCsvError) return error.message;
    throw error;
  }
  return '';
}

describe("an experiments' CSV", () => {
  it('is read as numbers and GPU memory', () => {
    expect(parseExperimentCsv(head + row, 'x.csv')).toEqual({
      notes: [],
      rows: [
        {
          expr_id: 0,
          timestamp: 8,
          engine_id: 1,
          request_id: 2,
          TTFT: 0.5,
          throughput: 40.1,
          context_len: 8192,
          query_len: 16,
          gpu_memory: { 'gpu-0': 1234, 'gpu-1': 3.5 },
        },
      ],
    });
  });

  it.each(['-1', '-1.0', '', 'nan', 'NaN', 'None'])('takes a TTFT of "%s" for a failed request', (value) => {
    expect(parseExperimentCsv(head + row.replace('0.5', value), 'x.csv').rows[0]?.TTFT).toBeNull();
  });

  it('takes further columns, another order, a byte order mark, Windows lines', () => {
    const text = `\ufefflatency,${head.trimEnd()},more\r\n1.25,${row.trimEnd()},x\r\n`;
    expect(parseExperimentCsv(text, 'x.csv').rows[0]).toMatchObject({ latency: 1.25, TTFT: 0.5 });
  });

  it('leaves the cut-off last line of a killed run out, wherever it was cut', () => {
    for (let length = 1; length < row.length - 1; length++) {
      const { rows, notes } = parseExperimentCsv(head + row + row.slice(0, length), 'x.csv');
      expect(rows, row.slice(0, length)).toHaveLength(1);
      expect(notes).toEqual(['"x.csv" line 3 is cut off and was left out: the run that wrote it was killed.']);
    }
    expect(parseExperimentCsv(head + row + row.trimEnd(), 'x.csv')).toMatchObject({ rows: [{}, {}], notes: [] });
    expect(parseExperimentCsv(head, 'x.csv')).toEqual({ rows: [], notes: [] });
  });

  it('tells every fault with its line and column', () => {
    const fault = faultOf(`${head}${row}0,x,0,1.5,abc,1,1,1,{}\n1,2,3\n0,0,0,0,1,1,1,1,[1]\n`);
    expect(fault.split('\n')).toEqual([
      '"x.csv" cannot be read:',
      '  line 3, column "timestamp": "x" is not a number',
      '  line 3, column "request_id": "1.5" is not a whole number',
      '  line 3, column "TTFT": "abc" is not a number',
      '  line 4: 3 values instead of 9',
      '  line 5, column "gpu_memory": "[1]" is not JSON of the form {"gpu-0": MiB}',
    ]);
  });

  it('names missing columns, and what is there instead', () => {
    expect(faultOf('a,b\n1,2\n')).toMatch(/line 1: column "expr_id", .* missing; the columns are "a,b"/);
    expect(faultOf('')).toMatch(/is empty/);
    expect(faultOf('a,"b\n1\n')).toMatch(/not a CSV file/);
  });

  it('is either read or refused with a located error, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), fc.nat(row.length), (garbage, at) => {
        const text = head + row.slice(0, at) + garbage + row.slice(at);
        try {
          for (const { TTFT } of parseExperimentCsv(text, 'x.csv').rows) expect(TTFT ?? 0).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ExperimentCsvError);
        }
      }),
    );
  });
});
