/**
 * Text from outside on one line and fit for XML: control characters and those that turn the direction of writing
 * become blanks, half surrogate pairs the replacement character.
 */
export function oneLine(text: string): string {
  return text
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+/g, ' ')
    .replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Text as the content or a quoted attribute of an element, in HTML and in XML. */
export function escapeMarkup(text: string): string {
  return oneLine(text)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;');
}
