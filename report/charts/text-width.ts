/** Advance widths of Helvetica in thousandths of the font size, from ' ' (32) to '~' (126): Adobe's font metrics. */
const helvetica = [
  278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
  556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
  722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
  556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
  260, 334, 584,
];

/** About how wide a text is in pixels, in Helvetica and its look-alikes; other letters count as the widest. */
export function textWidth(text: string, fontSizePx: number, bold = false): number {
  let thousandths = 0;
  for (const character of text) thousandths += helvetica[(character.codePointAt(0) ?? 0) - 32] ?? 1000;
  return (thousandths / 1000) * fontSizePx * (bold ? 1.08 : 1);
}

/**
 * The text, with its middle left out where it is wider than `widthPx`: names of files and configurations differ at
 * their ends.
 */
export function fitText(text: string, fontSizePx: number, widthPx: number, bold = false): string {
  if (textWidth(text, fontSizePx, bold) <= widthPx) return text;
  const characters = [...text];
  for (let kept = characters.length - 1; kept > 1; kept--) {
    const head = Math.ceil(kept / 2);
    const shortened = `${characters.slice(0, head).join('')}…${characters.slice(characters.length - (kept - head)).join('')}`;
    if (textWidth(shortened, fontSizePx, bold) <= widthPx) return shortened;
  }
  return '…';
}
