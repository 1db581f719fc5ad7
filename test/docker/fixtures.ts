import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Text of a recorded answer, unpacked where it is packed. */
export function fixture(name: string): string {
  const bytes = readFileSync(path.join(import.meta.dirname, 'fixtures', name));
  return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}
