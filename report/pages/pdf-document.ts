import PdfDocument from 'pdfkit';
import svgToPdf from 'svg-to-pdfkit';
import { type LineChart, splitChart } from '../charts/line-chart.js';
import { lineChartSvg } from '../charts/line-chart-svg.js';
import { chartInk } from '../charts/series-style.js';
import { oneLine } from '../plain-text.js';
import { addPageFooters } from './pdf-footers.js';
import { pdfLayout } from './pdf-layout.js';
import { drawTable } from './pdf-table.js';
import type { ReportDocument, ReportSection } from './report-document.js';
import { pdfText } from './winansi.js';

/** Scaled to the page's width, 12 px of text become 9 points; three charts fit on a page. */
const chartSize = { widthPx: 680, plotHeightPx: 165 };

/** Points above a section's heading. */
const sectionGap = 20;

/**
 * The report as a PDF: A4, vectors and text, charts and tables in the order of the document, its sections as
 * bookmarks, page numbers, and the simulated mark on every page.
 * @param createdAt goes into the file's properties: the same report at the same time gives the same bytes
 */
export async function pdfDocument(report: ReportDocument, createdAt: Date): Promise<Buffer> {
  const doc = new PdfDocument({
    size: 'A4',
    margins: pdfLayout.margins,
    bufferPages: true,
    pdfVersion: '1.7',
    lang: 'en',
    displayTitle: true,
    info: {
      Title: oneLine(report.title),
      Creator: 'lmcache-ci',
      Producer: 'lmcache-ci',
      CreationDate: createdAt,
      ModDate: createdAt,
    },
  });
  const chunks: Buffer[] = [];
  const finished = new Promise<Buffer>((resolve, reject) => {
    doc.on('data', (chunk: Buffer) => chunks.push(chunk));
    doc.on('end', () => resolve(Buffer.concat(chunks)));
    doc.on('error', reject);
  });
  drawHead(doc, report);
  for (const section of report.sections) drawSection(doc, section);
  addPageFooters(doc, report);
  doc.end();
  return finished;
}

function drawHead(doc: PDFKit.PDFDocument, report: ReportDocument): void {
  doc.font('Helvetica-Bold').fontSize(20).fillColor(chartInk.title.light).text(text(report.title));
  if (report.simulated !== null) {
    doc.moveDown(0.4).fontSize(10).fillColor(chartInk.simulated.light).text(text(report.simulated));
  }
  doc.moveDown(0.5).font('Helvetica').fontSize(11).fillColor(chartInk.title.light).text(text(report.lead));
  doc.moveDown(0.4);
  for (const { label, value } of report.facts) {
    doc
      .fontSize(9)
      .fillColor(chartInk.label.light)
      .text(`${text(label)}: `, { continued: true });
    doc.fillColor(chartInk.title.light).text(text(value));
  }
}

function drawSection(doc: PDFKit.PDFDocument, section: ReportSection): void {
  const charts = section.charts.flatMap(splitChart);
  const started = doc.y > pdfLayout.margins.top + 1;
  if (section.newPage === true && started) doc.addPage();
  // A heading stays with what it heads.
  else if (started) makeRoom(doc, charts.length > 0 ? 320 : 100);
  doc.outline.addItem(text(section.title));
  if (doc.y > pdfLayout.margins.top + 1) doc.y += sectionGap;
  doc.font('Helvetica-Bold').fontSize(14).fillColor(chartInk.title.light).text(text(section.title));
  for (const paragraph of section.paragraphs) {
    doc.moveDown(0.3).font('Helvetica').fontSize(10).fillColor(chartInk.title.light).text(text(paragraph));
  }
  for (const chart of charts) drawChart(doc, chart);
  for (const table of section.tables) drawTable(doc, table);
}

function drawChart(doc: PDFKit.PDFDocument, chart: LineChart): void {
  const svg = lineChartSvg(withPdfText(chart), { ...chartSize, idPrefix: 'chart' });
  const heightPx = Number(/viewBox="0 0 [\d.]+ ([\d.]+)"/.exec(svg)?.[1]);
  const scale = pdfLayout.contentWidth / chartSize.widthPx;
  const height = heightPx * scale;
  makeRoom(doc, height + 14);
  doc.y += 14;
  // With a size of its own the chart would not be scaled to the page's.
  const scalable = svg.replace(/ width="\d+" height="\d+"/, '');
  svgToPdf(doc, scalable, pdfLayout.margins.left, doc.y, {
    width: pdfLayout.contentWidth,
    height,
    assumePt: false,
    fontCallback: (_family, bold) => (bold ? 'Helvetica-Bold' : 'Helvetica'),
    warningCallback: (message) => {
      throw new Error(`chart "${chart.title}" cannot be drawn into a PDF: ${message}`);
    },
  });
  doc.x = pdfLayout.margins.left;
  doc.y += height + 6;
}

/** The letters that the fonts lack are spelled out before the chart is laid out: they are wider then. */
function withPdfText(chart: LineChart): LineChart {
  return {
    ...chart,
    title: text(chart.title),
    xLabel: text(chart.xLabel),
    yLabel: text(chart.yLabel),
    series: chart.series.map((series) => ({ ...series, name: text(series.name) })),
  };
}

function makeRoom(doc: PDFKit.PDFDocument, height: number): void {
  if (doc.y + height > pdfLayout.bottom) doc.addPage();
}

function text(value: string): string {
  return pdfText(oneLine(value));
}
