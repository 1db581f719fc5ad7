import type { z } from 'zod';
import { nearNames } from './model-registry.js';
import type { SourceProblem } from './source-problem.js';
import type { SourcePath, YamlDocument } from './yaml-source.js';

export type Checked<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problems: readonly SourceProblem[] };

/** What a key may hold, in words, by the key's name; shown in every message about it. */
export type AllowedTexts = Readonly<Record<string, string>>;

/** Where a key may stand, in words, by the key's name. */
export type KeyPlaces = Readonly<Record<string, string>>;

/** More say nothing new, and looking each up takes time. */
const mostKeys = 100;

type Issue = z.core.$ZodIssue;

/** Checks a document against a schema: every problem with its place, the value and what is allowed. */
export function checkSource<Value>(
  document: YamlDocument,
  schema: z.ZodType<Value>,
  allowed: AllowedTexts,
  places: KeyPlaces,
): Checked<Value> {
  const parsed = schema.safeParse(document.value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issues = parsed.error.issues.flatMap((issue) => flatten(issue, []));
  return { ok: false, problems: issues.flatMap((issue) => describe(document, issue, allowed, places)) };
}

/** `experiments[0].datasets[1].path` */
export function pathText(path: SourcePath): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return text.startsWith('.') ? text.slice(1) : text;
}

/** A value as a message quotes it. */
export function quoted(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = typeof value === 'string' ? value : describeValue(value);
  return `"${text.length > 80 ? `${text.slice(0, 77)}...` : text}"`;
}

function describeValue(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `a list of ${value.length}`;
  return typeof value === 'object' && value !== null ? 'a mapping' : String(value);
}

/** Of a union the alternative that was meant: the one whose own type fits. */
function flatten(issue: Issue, prefix: SourcePath): Issue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ ...issue, path }];
  const meant = issue.errors.find(
    (errors) => !errors.some(({ code, path: own }) => own.length === 0 && isOfType(code)),
  );
  return meant === undefined ? [{ ...issue, path }] : meant.flatMap((inner) => flatten(inner, path));
}

function isOfType(code: Issue['code']): boolean {
  return code === 'invalid_type' || code === 'invalid_value' || code === 'invalid_union';
}

function describe(document: YamlDocument, issue: Issue, allowed: AllowedTexts, places: KeyPlaces): SourceProblem[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') return unknownKeys(document, issue, places);
  const name = path.findLast((step) => typeof step === 'string');
  const may = typeof name === 'string' ? allowed[name] : undefined;
  const where = path.length === 0 ? 'the document' : pathText(path);
  const rule = issue.code === 'custom' ? issue.message : (may ?? issue.message);
  const value = valueAt(document.value, path);
  return [document.problemAt(path, `${where} is ${quoted(value)}; allowed: ${rule}`)];
}

function unknownKeys(
  document: YamlDocument,
  issue: Issue & { code: 'unrecognized_keys' },
  places: KeyPlaces,
): SourceProblem[] {
  const where = issue.path.length === 0 ? '' : ` of ${pathText(issue.path)}`;
  return issue.keys.slice(0, mostKeys).map((key) => {
    const [near] = nearNames(key, Object.keys(places));
    const meant = near === undefined ? '' : `; did you mean "${near}"?`;
    const why = Object.hasOwn(places, key) ? `is in the wrong place; allowed: ${places[key]}` : `is unknown${meant}`;
    return document.problemAtKey([...issue.path, key], `the key ${quoted(key)}${where} ${why}`);
  });
}

function valueAt(root: unknown, path: SourcePath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Object.getOwnPropertyDescriptor(value, step)?.value;
  }
  return value;
}
