/** Nobody reads a pipe any more; a terminal was closed. */
const nobodyReads = new Set(['EPIPE', 'EIO']);

/**
 * A reader that is gone (`| head`, a pager that was left) counts as a terminal that was closed: SIGHUP, which ends a
 * short command at once and lets a run clean up. What is still written then goes nowhere.
 */
export function hangUpWithoutReader(): void {
  let hungUp = false;
  const onError = (error: NodeJS.ErrnoException) => {
    if (!nobodyReads.has(error.code ?? '')) throw error;
    if (hungUp) return;
    hungUp = true;
    if (error.code === 'EIO') process.once('exit', endByHangup);
    process.kill(process.pid, 'SIGHUP');
  };
  process.stdout.on('error', onError);
  process.stderr.on('error', onError);
}

/** Node resets the terminal as it exits, and aborts with a core dump where that is gone (seen on 22): a signal spares it that. */
function endByHangup(): void {
  process.removeAllListeners('SIGHUP');
  process.kill(process.pid, 'SIGHUP');
}
