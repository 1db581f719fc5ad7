import { Chalk, type ChalkInstance } from 'chalk';

/**
 * Whether a stream gets colours: NO_COLOR (any non-empty text, see no-color.org) forbids them, FORCE_COLOR
 * (other than 0) demands them, otherwise a terminal gets them.
 */
export function wantsColor(
  environment: Readonly<Record<string, string | undefined>>,
  stream: { readonly isTTY?: boolean },
): boolean {
  if ((environment.NO_COLOR ?? '') !== '') return false;
  const forced = environment.FORCE_COLOR ?? '';
  if (forced !== '') return forced !== '0' && forced !== 'false';
  return stream.isTTY === true && environment.TERM !== 'dumb';
}

/** Sixteen colours, or none at all. */
export function painter(color: boolean): ChalkInstance {
  return new Chalk({ level: color ? 1 : 0 });
}
