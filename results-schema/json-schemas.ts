import { z } from 'zod';
import { fileSchemas } from './file-schemas.js';

/** A published JSON Schema: its file name, and its text as it lies in `results-schema/json/`. */
export interface PublishedSchema {
  readonly fileName: string;
  readonly text: string;
}

/** The JSON Schemas (draft 2020-12) of every file we write, made from the zod schemas that validate them. */
export function publishedSchemas(): readonly PublishedSchema[] {
  return fileSchemas.map(({ name, title, schema, format }) => {
    const applies = { json: 'the whole file', 'json-lines': 'each line', csv: 'each row, all values as text' }[format];
    const { $schema, ...rest } = z.toJSONSchema(schema);
    const published = { $schema, title, description: `Applies to ${applies}.`, ...rest };
    return { fileName: `${name}.schema.json`, text: `${JSON.stringify(published, null, 2)}\n` };
  });
}
