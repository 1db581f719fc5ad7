/**
 * A reader that is gone (`| head`, a pager that was left) counts as a terminal that was closed: SIGHUP, which ends a
 * short command at once and lets a run clean up. What is still written then goes nowhere.
 */
export function hangUpWithoutReader(): void {
  let hungUp = false;
  const onError = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (hungUp) return;
    hungUp = true;
    process.kill(process.pid, 'SIGHUP');
  };
  process.stdout.on('error', onError);
  process.stderr.on('error', onError);
}
