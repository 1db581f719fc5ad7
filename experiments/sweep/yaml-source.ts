import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from 'yaml';
import { SourceError, type SourceProblem } from './source-problem.js';

/** A way from a document's root to a value. */
export type SourcePath = readonly PropertyKey[];

/** One document of a YAML file, with the places of its values. */
export interface YamlDocument {
  /** Plain data, aliases and merge keys (`<<`) resolved; null for an empty document. */
  readonly value: unknown;
  /** Where the value at `path` stands; where there is none, its nearest parent. */
  problemAt(path: SourcePath, message: string): SourceProblem;
  /** Where the key itself stands, for a key that should not be there. */
  problemAtKey(path: SourcePath, message: string): SourceProblem;
}

/** What a person writes has some kilobytes; more is no sweep, and slow to parse. */
export const mostYamlBytes = 256 * 1024;
const mostAliasUses = 100;

/**
 * Reads all documents of a YAML file; empty ones at its end are left out.
 * @throws SourceError for a file that is no YAML, is larger than 256 KiB, has duplicate keys, unknown tags or too many
 *   aliases.
 */
export function parseYamlSource(file: string, text: string): readonly YamlDocument[] {
  const bytes = Buffer.byteLength(text);
  if (bytes > mostYamlBytes) throw new SourceError(file, [tooLarge(bytes)]);
  const lines = new LineCounter();
  const documents = parseDocuments(file, text, lines);
  const problems = documents.flatMap((document) => documentProblems(document, lines));
  if (problems.length > 0) throw new SourceError(file, problems);
  const sources = documents.map((document) => describeDocument(file, document, lines));
  return sources.filter(({ value }, index) => value !== null || index === 0);
}

/** The problem of a file that is not even read. */
export function tooLarge(bytes: number): SourceProblem {
  const kib = Math.ceil(bytes / 1024);
  return { line: 1, column: 1, message: `the file has ${kib} KiB; allowed: at most ${mostYamlBytes / 1024} KiB` };
}

function parseDocuments(file: string, text: string, lineCounter: LineCounter): readonly Document.Parsed[] {
  try {
    // Duplicate keys are looked for below: the library compares every key with every other one.
    const parsed = parseAllDocuments(text, { lineCounter, merge: true, uniqueKeys: false, prettyErrors: false });
    return Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    const why = error instanceof RangeError ? 'nested too deeply' : messageOf(error);
    throw new SourceError(file, [{ line: 1, column: 1, message: `cannot be read as YAML: ${why}` }]);
  }
}

function documentProblems(document: Document.Parsed, lines: LineCounter): SourceProblem[] {
  const { errors, warnings } = document;
  const problems = [...errors, ...warnings].map(({ pos, message }) => problem(lines, pos[0], message));
  if (problems.length > 0) return problems;
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) {
          problems.push(problem(lines, offsetOf(key), 'a key that is no text; allowed: plain names'));
          continue;
        }
        const name = key.value;
        if (name === '<<') continue;
        if (seen.has(name)) problems.push(problem(lines, offsetOf(key), `the key "${String(name)}" stands here twice`));
        seen.add(name);
      }
    },
  });
  return problems;
}

function describeDocument(file: string, document: Document.Parsed, lines: LineCounter): YamlDocument {
  const root = document.contents;
  const at = (path: SourcePath, message: string) =>
    problem(lines, offsetOf(find(document, root, path)) ?? offsetOf(root), message);
  return {
    value: toPlain(file, document, lines),
    problemAt: at,
    problemAtKey(path, message) {
      const parent = find(document, root, path.slice(0, -1));
      const pair = pairOf(document, parent, path.at(-1));
      return problem(lines, offsetOf(pair?.key) ?? offsetOf(parent), message);
    },
  };
}

function toPlain(file: string, document: Document.Parsed, lines: LineCounter): unknown {
  try {
    return document.toJS({ maxAliasCount: mostAliasUses });
  } catch (error) {
    let first: unknown = document.contents;
    visit(document, {
      Alias: (_, alias) => {
        first = alias;
        return visit.BREAK;
      },
    });
    const why =
      error instanceof ReferenceError && error.message.startsWith('Excessive')
        ? `aliases that stand for too much; allowed: at most ${mostAliasUses} uses`
        : error instanceof RangeError
          ? 'it refers to itself, or is nested too deeply'
          : messageOf(error);
    throw new SourceError(file, [problem(lines, offsetOf(first), why)]);
  }
}

/** The value at a path, or as much of the way there as exists. */
function find(document: Document.Parsed, root: unknown, path: SourcePath): unknown {
  let node: unknown = resolved(document, root);
  for (const step of path) {
    const next = isSeq(node) && typeof step === 'number' ? node.items[step] : pairOf(document, node, step)?.value;
    if (next === undefined || next === null) return node;
    node = isCollection(node) ? resolved(document, next) : node;
  }
  return node;
}

function pairOf(document: Document.Parsed, map: unknown, key: PropertyKey | undefined): Pair | undefined {
  if (!isMap(map)) return undefined;
  const own = map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
  if (own) return own;
  for (const { key: name, value } of map.items) {
    if (!isScalar(name) || name.value !== '<<') continue;
    const merged = resolved(document, value);
    for (const source of isSeq(merged) ? merged.items : [merged]) {
      const inherited = pairOf(document, resolved(document, source), key);
      if (inherited) return inherited;
    }
  }
  return undefined;
}

function resolved(document: Document.Parsed, node: unknown): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

function offsetOf(node: unknown): number | undefined {
  if (isPair(node)) return offsetOf(node.key);
  return (node as Node | null | undefined)?.range?.[0];
}

function problem(lines: LineCounter, offset: number | undefined, message: string): SourceProblem {
  const { line, col } = lines.linePos(offset ?? 0);
  return { line: Math.max(1, line), column: Math.max(1, col), message };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
