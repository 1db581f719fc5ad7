import { chartInk } from '../charts/series-style.js';
import { fitText } from '../charts/text-width.js';
import { oneLine } from '../plain-text.js';
import { pdfLayout } from './pdf-layout.js';
import type { ReportDocument } from './report-document.js';
import { pdfText } from './winansi.js';

/** Below every page: the report's title, the simulated mark, `3 / 7`. */
export function addPageFooters(doc: PDFKit.PDFDocument, report: ReportDocument): void {
  const { start, count } = doc.bufferedPageRange();
  const { margins, contentWidth, height } = pdfLayout;
  const title = fitText(pdfText(oneLine(report.title)), 8, contentWidth * 0.55);
  for (let index = 0; index < count; index++) {
    doc.switchToPage(start + index);
    // Text below the bottom margin would open a new page.
    doc.page.margins.bottom = 0;
    const line = { width: contentWidth, lineBreak: false } as const;
    const top = height - 34;
    doc.font('Helvetica').fontSize(8).fillColor(chartInk.label.light);
    doc.text(title, margins.left, top, line);
    doc.text(`${index + 1} / ${count}`, margins.left, top, { ...line, align: 'right' });
    if (report.simulated === null) continue;
    doc.font('Helvetica-Bold').fillColor(chartInk.simulated.light);
    doc.text('SIMULATED', margins.left, top, { ...line, align: 'center' });
  }
}
