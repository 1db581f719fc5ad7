import { StringDecoder } from 'node:string_decoder';
import stripAnsi from 'strip-ansi';

/** What BuildKit reports while it works (moby.buildkit.v1.StatusResponse), whichever way it reached us. */
export interface SolveStatus {
  readonly vertexes: readonly {
    readonly digest: string;
    readonly name: string;
    readonly started: boolean;
    readonly completed: boolean;
    readonly cached: boolean;
    /** Empty while all is well. */
    readonly error: string;
  }[];
  readonly statuses: readonly {
    readonly id: string;
    readonly vertex: string;
    readonly current: number;
    readonly total: number;
  }[];
  readonly logs: readonly { readonly vertex: string; readonly stream: 1 | 2; readonly data: Buffer }[];
}

/** A build as it goes on. `step` is the step's name as Docker shows it: `[2/5] RUN pip install vllm`. */
export type BuildEvent =
  | { readonly kind: 'step-started'; readonly step: string }
  | { readonly kind: 'step-finished'; readonly step: string; readonly cached: boolean }
  | { readonly kind: 'step-failed'; readonly step: string; readonly message: string }
  | { readonly kind: 'log'; readonly step: string; readonly stream: 'stdout' | 'stderr'; readonly line: string }
  /** Bytes (or, while exporting, parts) of one transfer; `total` 0 when not known. */
  | {
      readonly kind: 'transfer';
      readonly step: string;
      readonly what: string;
      readonly current: number;
      readonly total: number;
    };

const keptLines = 50;

interface Vertex {
  name: string;
  started: boolean;
  ended: boolean;
  error: string;
  readonly lastLines: string[];
  readonly rest: Record<'stdout' | 'stderr', string>;
  readonly decoders: Record<'stdout' | 'stderr', StringDecoder>;
}

/** Turns BuildKit's status messages into events, and keeps what a failure has to show. */
export class BuildProgress {
  readonly #vertexes = new Map<string, Vertex>();
  readonly #onEvent: (event: BuildEvent) => void;
  readonly #imageIds = new Set<string>();

  constructor(onEvent: (event: BuildEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** `sha256:...` of everything the export step says it wrote: the image's id is one of them. */
  get imageIds(): ReadonlySet<string> {
    return this.#imageIds;
  }

  /** The step that failed, with its last lines; null when the build failed outside of any step, or did not. */
  get failedStep(): { readonly step: string; readonly message: string; readonly lastLines: readonly string[] } | null {
    for (const vertex of this.#vertexes.values()) {
      // Steps that ran beside the failing one are only cancelled.
      if (vertex.error === '' || /context canceled/.test(vertex.error)) continue;
      return { step: vertex.name, message: vertex.error, lastLines: vertex.lastLines };
    }
    return null;
  }

  /** The step that started last and has not ended. */
  get currentStep(): string | null {
    return [...this.#vertexes.values()].findLast((vertex) => vertex.started && !vertex.ended)?.name ?? null;
  }

  /** The last output lines of that step. */
  get lastLines(): readonly string[] {
    return [...this.#vertexes.values()].findLast((vertex) => vertex.started && !vertex.ended)?.lastLines ?? [];
  }

  addImageId(id: string): void {
    this.#imageIds.add(id);
  }

  add(status: SolveStatus): void {
    for (const log of status.logs) this.#addLog(log);
    for (const vertex of status.vertexes) this.#addVertex(vertex);
    for (const { id, vertex, current, total } of status.statuses) {
      const step = this.#vertex(vertex).name;
      const written = /sha256:[0-9a-f]{64}/.exec(id)?.[0];
      if (written !== undefined && step.startsWith('exporting to')) this.#imageIds.add(written);
      this.#onEvent({ kind: 'transfer', step, what: id, current, total });
    }
  }

  #vertex(digest: string): Vertex {
    const known = this.#vertexes.get(digest);
    if (known !== undefined) return known;
    const vertex: Vertex = {
      name: digest,
      started: false,
      ended: false,
      error: '',
      lastLines: [],
      rest: { stdout: '', stderr: '' },
      decoders: { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') },
    };
    this.#vertexes.set(digest, vertex);
    return vertex;
  }

  #addVertex(message: SolveStatus['vertexes'][number]): void {
    const vertex = this.#vertex(message.digest);
    if (message.name !== '') vertex.name = message.name;
    const step = vertex.name;
    if (message.started && !vertex.started) {
      vertex.started = true;
      this.#onEvent({ kind: 'step-started', step });
    }
    if (vertex.ended || (!message.completed && message.error === '')) return;
    vertex.ended = true;
    vertex.error = message.error;
    for (const stream of ['stdout', 'stderr'] as const) this.#addLine(vertex, stream, vertex.rest[stream]);
    this.#onEvent(
      message.error === ''
        ? { kind: 'step-finished', step, cached: message.cached }
        : { kind: 'step-failed', step, message: message.error },
    );
  }

  /** Output comes in pieces that end anywhere. */
  #addLog(log: SolveStatus['logs'][number]): void {
    const vertex = this.#vertex(log.vertex);
    const stream = log.stream === 2 ? 'stderr' : 'stdout';
    const lines = (vertex.rest[stream] + vertex.decoders[stream].write(log.data)).split('\n');
    vertex.rest[stream] = lines.pop() ?? '';
    for (const line of lines) this.#addLine(vertex, stream, line);
  }

  #addLine(vertex: Vertex, stream: 'stdout' | 'stderr', text: string): void {
    // Of a progress bar that redraws itself, the last state.
    const line = stripAnsi(text).replace(/\r$/, '').split('\r').at(-1) ?? '';
    if (line.trim() === '') return;
    vertex.lastLines.push(line);
    if (vertex.lastLines.length > keptLines) vertex.lastLines.shift();
    this.#onEvent({ kind: 'log', step: vertex.name, stream, line });
  }
}
