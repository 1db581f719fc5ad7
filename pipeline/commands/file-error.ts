/** What the file system refused: for the person to mend, not a bug. */
export function isFileError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}
