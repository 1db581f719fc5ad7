/** The real program would raise this before it serves: a traceback, exit code 1. */
export class EngineConfigError extends Error {
  override readonly name = 'EngineConfigError';
  /** Python's name of the exception. */
  readonly kind: string;

  constructor(message: string, kind = 'ValueError') {
    super(message);
    this.kind = kind;
  }
}
