import { type PythonType, readType, typeProblems } from '../python-types.js';
import type { SchemaProblem } from './api-error.js';
import { isJsonObject } from './pydantic-report.js';

/** What pydantic calls each of the three classes that a format may be of. */
export const CLASS = 'function-wrap[__log_extra_fields__()]';
const TEXT: PythonType = readType("'text'|'json_object'|'json_schema'");
const TAG: PythonType = readType("'structural_tag'");
const NAME: PythonType = readType('str');
const SCHEMA: PythonType = readType('dict[any]?');

/** A `response_format`: what each of vLLM's three classes misses in it, unless it is one of them. */
export function responseFormat(value: unknown): readonly SchemaProblem[] {
  if (value === null) return [];
  if (!isJsonObject(value)) return CLASSES.map(() => ({ ...notAnObject(value), location: [CLASS] }));
  const found = CLASSES.map((problemsOf) => problemsOf(value));
  if (found.some((problems) => problems.length === 0)) return [];
  return found.flat().map((problem) => ({ ...problem, location: [CLASS, ...problem.location] }));
}

type Given = Readonly<Record<string, unknown>>;

const CLASSES: readonly ((value: Given) => readonly SchemaProblem[])[] = [
  (value) => [...field(value, 'type', TEXT), ...jsonSchemaProblems(value.json_schema)],
  (value) => [...field(value, 'type', TAG), ...present(value, 'format')],
  (value) => [...field(value, 'type', TAG), ...present(value, 'structures'), ...present(value, 'triggers')],
];

function jsonSchemaProblems(given: unknown): readonly SchemaProblem[] {
  if (given === undefined || given === null) return [];
  const problems = isJsonObject(given)
    ? [...field(given, 'name', NAME), ...('schema' in given ? field(given, 'schema', SCHEMA) : [])]
    : [notAnObject(given)];
  return problems.map((problem) => ({ ...problem, location: ['json_schema', ...problem.location] }));
}

function field(given: Given, name: string, type: PythonType): readonly SchemaProblem[] {
  const missing = present(given, name);
  if (missing.length > 0) return missing;
  return typeProblems(type, given[name]).map((problem) => ({ ...problem, location: [name, ...problem.location] }));
}

function present(given: Given, name: string): readonly SchemaProblem[] {
  return name in given ? [] : [{ type: 'missing', location: [name], message: 'Field required', input: given }];
}

/** A value where a class wants its fields. */
export function notAnObject(input: unknown): SchemaProblem {
  const message = 'Input should be a valid dictionary or object to extract fields from';
  return { type: 'model_attributes_type', location: [], message, input };
}
