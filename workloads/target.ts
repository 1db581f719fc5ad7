/** An OpenAI-compatible server under load. */
export interface Target {
  /** `http://127.0.0.1:8000`: scheme, host, port, at most a path prefix; without `/v1`. */
  readonly baseUrl: string;
  /** The served model name. */
  readonly model: string;
  /** Sent as `Authorization: Bearer ...`. */
  readonly apiKey?: string;
}

/** How far a workload is; sent a few times a second. */
export interface WorkloadProgress {
  /** `pre-warm`, `warm-up`, `query`, `prompts`, `requests`, ... */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  readonly inFlight: number;
  /** Short current numbers by label, e.g. `{ 'TTFT s': 0.15 }`. */
  readonly figures: Readonly<Record<string, number>>;
}

export interface WorkloadOptions {
  /** Ends what is in flight; the workload then resolves with what it has, marked `interrupted`. */
  readonly signal: AbortSignal;
  onProgress?(progress: WorkloadProgress): void;
}

/** Which simulator answered. Where a result says `SimulatedBy | null`, null means a real server. */
export interface SimulatedBy {
  readonly profile: string;
  /** Simulated seconds a wall-clock second; measured durations were multiplied by it. */
  readonly speed: number;
}
