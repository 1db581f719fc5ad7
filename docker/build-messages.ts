import protobuf from 'protobufjs';
import { z } from 'zod';
import type { SolveStatus } from './build-progress.js';

/** One line of a build's answer. */
export type BuildMessage =
  | { readonly kind: 'status'; readonly status: SolveStatus }
  | { readonly kind: 'image-id'; readonly id: string }
  | { readonly kind: 'error'; readonly message: string }
  /** Anything else: plain text of the command line, `Successfully tagged ...`. */
  | { readonly kind: 'text'; readonly text: string };

const rawVertexSchema = z.object({
  digest: z.string(),
  name: z.string().default(''),
  started: z.string().optional(),
  completed: z.string().optional(),
  cached: z.boolean().default(false),
  error: z.string().default(''),
});
const rawStatusSchema = z.object({
  vertexes: z.array(rawVertexSchema).nullish(),
  statuses: z
    .array(
      z.object({ id: z.string(), vertex: z.string(), current: z.number().default(0), total: z.number().default(0) }),
    )
    .nullish(),
  logs: z.array(z.object({ vertex: z.string(), stream: z.number(), data: z.string() })).nullish(),
});

/**
 * Reads one line of `docker buildx build --progress=rawjson` (BuildKit's client.SolveStatus as JSON, on stderr);
 * log data is base64. The command's own words, such as its final `ERROR: failed to build: ...`, are plain lines.
 */
export function parseRawJsonLine(line: string): BuildMessage {
  const failure = /^ERROR: (.*)$/.exec(line);
  if (failure?.[1] !== undefined) return { kind: 'error', message: failure[1] };
  const parsed = rawStatusSchema.safeParse(parseJson(line));
  if (!parsed.success) return { kind: 'text', text: line };
  const { vertexes, statuses, logs } = parsed.data;
  return {
    kind: 'status',
    status: {
      vertexes: (vertexes ?? []).map((vertex) => ({
        ...vertex,
        started: vertex.started !== undefined,
        completed: vertex.completed !== undefined,
      })),
      statuses: statuses ?? [],
      logs: (logs ?? []).map(({ vertex, stream, data }) => ({
        vertex,
        stream: stream === 2 ? 2 : 1,
        data: Buffer.from(data, 'base64'),
      })),
    },
  };
}

const daemonLineSchema = z.union([
  z.object({ error: z.string(), errorDetail: z.object({ message: z.string() }).optional() }),
  z.object({ id: z.literal('moby.buildkit.trace'), aux: z.string().nullable() }),
  z.object({ id: z.literal('moby.image.id'), aux: z.object({ ID: z.string() }) }),
  z.object({ stream: z.string() }),
]);

/** Reads one line of the daemon's answer to `POST /build?version=2`: JSON around BuildKit's protobuf messages. */
export function parseDaemonLine(line: string): BuildMessage {
  const parsed = daemonLineSchema.safeParse(parseJson(line));
  if (!parsed.success) return { kind: 'text', text: line };
  const message = parsed.data;
  if ('error' in message) return { kind: 'error', message: message.errorDetail?.message ?? message.error };
  if ('stream' in message) return { kind: 'text', text: message.stream.trim() };
  if (message.id === 'moby.image.id') return { kind: 'image-id', id: message.aux.ID };
  return { kind: 'status', status: decodeTrace(Buffer.from(message.aux ?? '', 'base64')) };
}

/**
 * The fields of BuildKit's status messages that are used here, by their numbers in
 * moby/buildkit api/services/control/control.proto.
 */
const statusType = protobuf
  .parse(
    `syntax = "proto3";
    message StatusResponse { repeated Vertex vertexes = 1; repeated VertexStatus statuses = 2; repeated VertexLog logs = 3; }
    message Timestamp { int64 seconds = 1; int32 nanos = 2; }
    message Vertex { string digest = 1; string name = 3; bool cached = 4; Timestamp started = 5; Timestamp completed = 6; string error = 7; }
    message VertexStatus { string ID = 1; string vertex = 2; int64 current = 4; int64 total = 5; }
    message VertexLog { string vertex = 1; int64 stream = 3; bytes msg = 4; }`,
    { keepCase: true },
  )
  .root.lookupType('StatusResponse');

const traceSchema = z.object({
  vertexes: z.array(
    z.object({
      digest: z.string(),
      name: z.string(),
      cached: z.boolean(),
      started: z.unknown(),
      completed: z.unknown(),
      error: z.string(),
    }),
  ),
  statuses: z.array(z.object({ ID: z.string(), vertex: z.string(), current: z.number(), total: z.number() })),
  logs: z.array(z.object({ vertex: z.string(), stream: z.number(), msg: z.instanceof(Uint8Array) })),
});

function decodeTrace(bytes: Buffer): SolveStatus {
  const trace = traceSchema.parse(
    statusType.toObject(statusType.decode(bytes), { longs: Number, arrays: true, defaults: true }),
  );
  return {
    vertexes: trace.vertexes.map(({ started, completed, ...vertex }) => ({
      ...vertex,
      started: started !== null,
      completed: completed !== null,
    })),
    statuses: trace.statuses.map(({ ID, ...status }) => ({ id: ID, ...status })),
    logs: trace.logs.map(({ vertex, stream, msg }) => ({
      vertex,
      stream: stream === 2 ? 2 : 1,
      data: Buffer.from(msg),
    })),
  };
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
