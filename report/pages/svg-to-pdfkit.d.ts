declare module 'svg-to-pdfkit' {
  /** Draws an SVG document into a PDF as vectors and text; x, y, width and height in points. */
  export default function svgToPdf(
    doc: PDFKit.PDFDocument,
    svg: string,
    x: number,
    y: number,
    options: {
      readonly width: number;
      readonly height: number;
      readonly assumePt: boolean;
      fontCallback(family: string, bold: boolean, italic: boolean): string;
      warningCallback(message: string): void;
    },
  ): void;
}
