import { chartInk } from '../charts/series-style.js';
import { oneLine } from '../plain-text.js';
import { pdfLayout } from './pdf-layout.js';
import { cellText, type ReportTable, type TableCell } from './report-document.js';
import { pdfText } from './winansi.js';

const fontSize = 8;
const cellGap = 6;
const rowPadding = 3;
const captionGap = 14;
const captionHeight = captionGap + 16;

const tones = { good: '#0f7a3d', bad: '#b3261e', doubtful: '#8a5a00' } as const;

/** A table over as many pages as it takes, its head on each; long cells wrap, none is cut. */
export function drawTable(doc: PDFKit.PDFDocument, table: ReportTable): void {
  const widths = columnWidths(doc, table);
  const heads = table.columns.map(({ title }) => title);
  // The caption stays with the head and the first three rows.
  const beginning = table.rows.slice(0, 3).map((row) => rowHeight(doc, row, widths, false));
  if (doc.y + captionHeight + rowHeight(doc, heads, widths, true) + sum(beginning) > pdfLayout.bottom) doc.addPage();
  if (doc.y > pdfLayout.margins.top + 1) doc.y += captionGap;
  doc
    .font('Helvetica-Bold')
    .fontSize(10)
    .fillColor(chartInk.title.light)
    .text(shown(table.caption), pdfLayout.margins.left);
  doc.moveDown(0.3);
  drawRow(doc, table, heads, widths, true);
  for (const row of table.rows) {
    if (doc.y + rowHeight(doc, row, widths, false) > pdfLayout.bottom) {
      doc.addPage();
      drawRow(doc, table, heads, widths, true);
    }
    drawRow(doc, table, row, widths, false);
  }
  doc.x = pdfLayout.margins.left;
}

function drawRow(
  doc: PDFKit.PDFDocument,
  table: ReportTable,
  cells: readonly TableCell[],
  widths: readonly number[],
  head: boolean,
): void {
  const top = doc.y;
  const height = rowHeight(doc, cells, widths, head);
  let left = pdfLayout.margins.left;
  for (const [index, cell] of cells.entries()) {
    const width = widths[index] ?? 0;
    const tone = typeof cell === 'string' ? undefined : cell.tone;
    cellFont(doc, cell, head).fillColor(head ? chartInk.label.light : tone ? tones[tone] : chartInk.title.light);
    const text = shown(cellText(cell));
    const offset = head ? height - rowPadding * 2 - doc.heightOfString(text, { width }) : 0;
    doc.text(text, left, top + rowPadding + offset, { width, align: table.columns[index]?.numeric ? 'right' : 'left' });
    left += width + cellGap;
  }
  const end = pdfLayout.margins.left + sum(widths) + cellGap * (widths.length - 1);
  doc
    .moveTo(pdfLayout.margins.left, top + height)
    .lineTo(end, top + height)
    .lineWidth(head ? 0.8 : 0.4)
    .strokeColor(head ? chartInk.axis.light : chartInk.grid.light)
    .stroke();
  doc.y = top + height;
}

function rowHeight(
  doc: PDFKit.PDFDocument,
  cells: readonly TableCell[],
  widths: readonly number[],
  head: boolean,
): number {
  const heights = cells.map((cell, index) =>
    cellFont(doc, cell, head).heightOfString(shown(cellText(cell)), { width: widths[index] ?? 0 }),
  );
  return Math.max(...heights, fontSize) + rowPadding * 2;
}

/**
 * Each column as wide as its widest cell and its title; where that is too much, titles wrap, then the widest cells.
 */
function columnWidths(doc: PDFKit.PDFDocument, table: ReportTable): number[] {
  const room = pdfLayout.contentWidth - cellGap * (table.columns.length - 1);
  const oneLineTitles = table.columns.map(({ title }, index) => columnWidth(doc, table, index, [title]));
  if (sum(oneLineTitles) <= room) return oneLineTitles;
  const wanted = table.columns.map(({ title }, index) => columnWidth(doc, table, index, title.split(/\s+/)));
  let limit: number = room;
  const cut = () => wanted.map((width) => Math.min(width, limit));
  while (limit > 12 && sum(cut()) > room) limit -= 2;
  return cut();
}

function columnWidth(doc: PDFKit.PDFDocument, table: ReportTable, index: number, titles: readonly string[]): number {
  // PDFKit breaks lines after the blank that ends a word, and measures it too.
  const heads = titles.map((title) => font(doc, true).widthOfString(`${shown(title)} `));
  const cells = table.rows.map((row) =>
    cellFont(doc, row[index] ?? '', false).widthOfString(shown(cellText(row[index] ?? ''))),
  );
  // Measuring rounds: a hair more, or the last letter wraps.
  return [...heads, ...cells].reduce((left, width) => Math.max(left, width), 12) + 1.5;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function cellFont(doc: PDFKit.PDFDocument, cell: TableCell, head: boolean): PDFKit.PDFDocument {
  return font(doc, head || (typeof cell !== 'string' && cell.tone === 'bad'));
}

function font(doc: PDFKit.PDFDocument, bold: boolean): PDFKit.PDFDocument {
  return doc.font(bold ? 'Helvetica-Bold' : 'Helvetica').fontSize(fontSize);
}

function shown(text: string): string {
  return pdfText(oneLine(text));
}
