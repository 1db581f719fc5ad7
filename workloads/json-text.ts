const MARKER = '\u0000the JSON text\u0000';

/** A value that is JSON already, in UTF-8: sent as it is, not made into JSON again. */
export class JsonText {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** What `JSON.stringify` sees of it; `jsonParts` puts the bytes there. */
  toJSON(): string {
    return MARKER;
  }
}

/** The JSON of a value that has at most one JsonText somewhere within, in pieces, the bytes of that one not copied. */
export function jsonParts(value: unknown): readonly Buffer[] {
  let inner: JsonText | null = null;
  const outer = JSON.stringify(value, function find(this: unknown, key: string, member: unknown) {
    const original: unknown = member === MARKER ? Reflect.get(Object(this), key) : member;
    inner = original instanceof JsonText ? original : inner;
    return member;
  });
  return inner === null ? [Buffer.from(outer)] : splice(outer, inner);
}

function splice(outer: string, inner: JsonText): readonly Buffer[] {
  const marker = JSON.stringify(MARKER);
  const at = outer.indexOf(marker);
  return [Buffer.from(outer.slice(0, at)), inner.bytes, Buffer.from(outer.slice(at + marker.length))];
}
