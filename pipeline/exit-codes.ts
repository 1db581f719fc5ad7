/** What the exit codes of one command say; those that it does not have are left out. */
export interface ExitCodeMeanings {
  readonly 0: string;
  readonly 1?: string;
  /** Beyond a usage error. */
  readonly 2?: string;
  readonly 3?: string;
  /** What is true after a signal. */
  readonly interrupted?: string;
}

/** The end of a command's help: the same codes everywhere (README, "Exit codes"), in the words of the command. */
export function describeExitCodes(meanings: ExitCodeMeanings): string {
  const usage = ['2 usage', meanings[2]].filter((text) => text !== undefined).join(' or ');
  const codes = [
    `0 ${meanings[0]}`,
    ...(meanings[1] === undefined ? [] : [`1 ${meanings[1]}`]),
    usage,
    ...(meanings[3] === undefined ? [] : [`3 ${meanings[3]}`]),
    ...(meanings.interrupted === undefined ? [] : [`129, 130, 143 interrupted, ${meanings.interrupted}`]),
  ];
  return `Exit codes: ${codes.join('; ')}.`;
}
