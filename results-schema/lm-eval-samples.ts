import { z } from 'zod';
import { type LmEvalSample, lmEvalSampleSchema } from './lm-eval-output.js';

/** All samples of one run of lm_eval. */
export interface SampleSet {
  /** The lines as they stand in the file, none empty. */
  readonly lines: readonly { readonly text: string; readonly sample: LmEvalSample }[];
  /** Distinct documents. */
  readonly documents: number;
}

/** A document whose lines are not the same in both runs; null: the run has no such document. */
export interface SampleDifference {
  readonly docId: number;
  readonly prompt: string;
  readonly firstAnswer: string | null;
  readonly secondAnswer: string | null;
}

/**
 * Reads a samples file.
 * @param name of the file, for errors
 * @throws Error that names file and line when a line is no sample
 */
export function parseSamples(content: string, name: string): SampleSet {
  const lines: { text: string; sample: LmEvalSample }[] = [];
  for (const [index, text] of content.split('\n').entries()) {
    if (text.trim() === '') {
      continue;
    }
    try {
      lines.push({ text, sample: lmEvalSampleSchema.parse(JSON.parse(text)) });
    } catch (error) {
      const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
      throw new Error(`Line ${index + 1} of "${name}" is not a sample of lm_eval: ${why}`, { cause: error });
    }
  }
  return { lines, documents: new Set(lines.map(({ sample }) => sample.doc_id)).size };
}

/**
 * Compares two runs as the original suite does: the sorted lines of both files must be the same bytes.
 * @returns the documents that differ, by number; empty exactly when the sorted lines are identical
 */
export function compareSamples(first: SampleSet, second: SampleSet): readonly SampleDifference[] {
  return differences(first, second, (line) => line.text);
}

/**
 * Compares only what the servers answered, for two different servers.
 * @returns the documents whose answers differ, by number
 */
export function compareAnswers(first: SampleSet, second: SampleSet): readonly SampleDifference[] {
  return differences(first, second, (line) => JSON.stringify(line.sample.resps));
}

/** The difference in two columns, the rows that differ marked, with the end of the prompt above. */
export function formatDifference(
  difference: SampleDifference,
  names: { readonly first: string; readonly second: string },
): readonly string[] {
  const width = 56;
  const left = wrap(difference.firstAnswer ?? '(no such sample)', width);
  const right = wrap(difference.secondAnswer ?? '(no such sample)', width);
  const rows = Array.from({ length: Math.max(left.length, right.length) }, (_, index) => {
    const [a, b] = [left[index] ?? '', right[index] ?? ''];
    return `  ${a.padEnd(width)} ${a === b ? '|' : '≠'} ${b}`.trimEnd();
  });
  const prompt = difference.prompt.length > 160 ? `...${difference.prompt.slice(-160)}` : difference.prompt;
  return [
    `sample ${difference.docId}, prompt: ${JSON.stringify(prompt)}`,
    `  ${names.first.padEnd(width)} | ${names.second}`,
    ...(rows.length > 24 ? [...rows.slice(0, 24), `  ... ${rows.length - 24} more lines`] : rows),
  ];
}

type Line = SampleSet['lines'][number];

function differences(first: SampleSet, second: SampleSet, content: (line: Line) => string): SampleDifference[] {
  const firstById = byDocument(first);
  const secondById = byDocument(second);
  const docIds = [...new Set([...firstById.keys(), ...secondById.keys()])].sort((a, b) => a - b);
  const found: SampleDifference[] = [];
  for (const docId of docIds) {
    const a = firstById.get(docId) ?? [];
    const b = secondById.get(docId) ?? [];
    if (sortedContent(a, content) !== sortedContent(b, content)) {
      found.push({
        docId,
        prompt: promptOf(a[0] ?? b[0]),
        firstAnswer: answerOf(a),
        secondAnswer: answerOf(b),
      });
    }
  }
  return found;
}

function byDocument(set: SampleSet): Map<number, Line[]> {
  const documents = new Map<number, Line[]>();
  for (const line of set.lines) {
    const known = documents.get(line.sample.doc_id);
    if (known === undefined) {
      documents.set(line.sample.doc_id, [line]);
    } else {
      known.push(line);
    }
  }
  return documents;
}

function sortedContent(lines: readonly Line[], content: (line: Line) => string): string {
  return JSON.stringify(lines.map(content).sort());
}

function promptOf(line: Line | undefined): string {
  const prompt = line?.sample.arguments.gen_args_0.arg_0 ?? '';
  return typeof prompt === 'string' ? prompt : JSON.stringify(prompt);
}

function answerOf(lines: readonly Line[]): string | null {
  return lines[0] === undefined ? null : lines[0].sample.resps.flat().join('\n');
}

/** Breaks text into rows; control characters other than the line break are made visible. */
function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((line) => {
    const visible = JSON.stringify(line).slice(1, -1);
    const rows: string[] = [];
    for (let start = 0; start < visible.length || start === 0; start += width) {
      rows.push(visible.slice(start, start + width));
    }
    return rows;
  });
}
