const a4 = { width: 595.28, height: 841.89 };
const margins = { top: 48, bottom: 56, left: 48, right: 48 };

/** A page of the PDF, in points. */
export const pdfLayout = {
  ...a4,
  margins,
  contentWidth: a4.width - margins.left - margins.right,
  /** Where the content of a page ends. */
  bottom: a4.height - margins.bottom,
} as const;
