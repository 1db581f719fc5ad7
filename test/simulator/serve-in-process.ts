import { VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';
import { runVllmServe } from '../../simulator/vllm-serve.js';

export interface ServedInProcess {
  readonly baseUrl: string;
  /** What it has written so far. */
  output(): string;
  /** Ends it as SIGTERM would; the exit code. */
  stop(): Promise<number>;
  /** Resolves when it ends by itself. */
  readonly exited: Promise<number>;
}

/** A simulated `vllm serve` inside the test's process, on a free port. @throws when it ends before it serves. */
export async function serveInProcess(
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<ServedInProcess> {
  const controller = new AbortController();
  let written = '';
  const write = (text: string): void => {
    written += text;
  };
  let exited: Promise<number> = Promise.resolve(0);
  const port = await new Promise<number>((resolve, reject) => {
    exited = runVllmServe(VLLM_SERVE_PARSER, ['Qwen/Qwen3-14B', '--host', '127.0.0.1', '--port', '0', ...args], {
      environment: { SIM_SPEED: '200', ...environment },
      signal: controller.signal,
      write,
      writeError: write,
      onReady: resolve,
    });
    exited.then(() => reject(new Error(written)), reject);
  });
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    output: () => written,
    exited,
    stop: () => {
      controller.abort();
      return exited;
    },
  };
}
