import type { Readiness, UnexpectedExit, WaitOptions } from './fleet.js';
import type { EngineRole, LaunchSpec } from './launch-spec.js';
import { type Probe, pollUntilReady } from './readiness.js';

/** What the waiting needs to know of the engines. */
export interface WatchedEngines {
  spec(role: EngineRole): Pick<LaunchSpec, 'healthUrl' | 'ports'>;
  isReady(role: EngineRole): boolean;
  unexpectedExit(): Promise<UnexpectedExit | null>;
  /** @returns ends the listening */
  onChange(listener: () => void): () => void;
  markReady(role: EngineRole, afterMs: number): Promise<void>;
}

const progressMs = 1000;

/**
 * Waits until all engines serve, each looked at every 100 ms on its own, while their container or process is
 * watched: one that ends fails the waiting at once. @throws the signal's reason when aborted.
 */
export async function waitForFleet(
  roles: readonly EngineRole[],
  options: WaitOptions,
  engines: WatchedEngines,
): Promise<Readiness> {
  options.signal.throwIfAborted();
  const started = performance.now();
  const waiting = new AbortController();
  const limit = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([options.signal, limit, waiting.signal]);
  const lastAnswers = new Map<EngineRole, string>(roles.map((role) => [role, 'not asked yet']));
  const readyAfterMs: Partial<Record<EngineRole, number>> = {};
  const tell = () => options.onProgress?.([...lastAnswers.keys()], performance.now() - started);

  const serving = Promise.all(
    roles.map(async (role) => {
      const wasReady = engines.isReady(role);
      const target = probeOf(engines.spec(role));
      if (!(await pollUntilReady(target, signal, (answer) => lastAnswers.set(role, answer)))) return;
      const afterMs = performance.now() - started;
      readyAfterMs[role] = afterMs;
      lastAnswers.delete(role);
      if (!wasReady) await engines.markReady(role, afterMs);
      tell();
    }),
  );
  const died = watchForDeath(engines, waiting.signal);
  const ticker = setInterval(tell, progressMs);
  try {
    tell();
    const death = await Promise.race([serving.then(() => null), died]);
    if (death) return { outcome: 'engine-died', exit: death };
    options.signal.throwIfAborted();
    if (lastAnswers.size === 0) return { outcome: 'ready', readyAfterMs };
    return { outcome: 'timeout', missing: [...lastAnswers].map(([role, lastAnswer]) => ({ role, lastAnswer })) };
  } finally {
    clearInterval(ticker);
    waiting.abort();
    await serving.catch(() => undefined);
  }
}

/** Resolves with the first engine that ends by itself; with null when the watching ends. */
export function watchForDeath(
  engines: Pick<WatchedEngines, 'unexpectedExit' | 'onChange'>,
  signal: AbortSignal,
): Promise<UnexpectedExit | null> {
  return new Promise((resolve) => {
    const look = () => {
      engines.unexpectedExit().then(
        (exit) => {
          if (exit) resolve(exit);
        },
        () => undefined,
      );
    };
    const stop = engines.onChange(look);
    signal.addEventListener(
      'abort',
      () => {
        stop();
        resolve(null);
      },
      { once: true },
    );
    look();
  });
}

function probeOf({ healthUrl, ports }: Pick<LaunchSpec, 'healthUrl' | 'ports'>): Probe {
  if (healthUrl !== null) return { kind: 'http', url: healthUrl };
  const [port] = ports;
  if (port === undefined) throw new Error('An engine without a health URL and without a port cannot be waited for');
  return { kind: 'tcp', port };
}
