import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { z } from 'zod';

/** A text on the page or in a chart, in pixels. */
const boxSchema = z.object({
  text: z.string(),
  left: z.number(),
  top: z.number(),
  right: z.number(),
  bottom: z.number(),
});
export type Box = z.infer<typeof boxSchema>;

const layoutSchema = z.object({
  charts: z.array(
    z.object({ box: boxSchema, labels: z.array(boxSchema), series: z.number(), colors: z.array(z.string()) }),
  ),
  /** Text outside of charts, one box a line. */
  lines: z.array(boxSchema),
  /** Texts that are wider than their place. */
  overflowing: z.array(z.string()),
  /** Names of all elements. */
  elements: z.array(z.string()),
  links: z.array(z.string()),
  background: z.string(),
  color: z.string(),
  pageWidth: z.number(),
  windowWidth: z.number(),
});
export type PageLayout = z.infer<typeof layoutSchema>;

const measurement = readFileSync(new URL('measure-page.js', import.meta.url), 'utf8');

/** Measures the page as it stands now. The page's security policy forbids scripts, but not the debugger's. */
export async function pageLayout(page: Page): Promise<PageLayout> {
  return layoutSchema.parse(await page.evaluate(measurement));
}

/** Pairs of texts that cover each other by more than a pixel in both directions. */
export function overlaps(boxes: readonly Box[], slack = 1): string[] {
  const sorted = [...boxes].sort((one, other) => one.top - other.top);
  const found: string[] = [];
  for (const [index, one] of sorted.entries()) {
    for (const other of sorted.slice(index + 1)) {
      if (other.top > one.bottom - slack) break;
      if (Math.min(one.right, other.right) - Math.max(one.left, other.left) > slack) {
        found.push(`"${one.text}" and "${other.text}"`);
      }
    }
  }
  return found;
}

/** Texts that stick out of a box. */
export function outside(boxes: readonly Box[], { left, top, right, bottom }: Box, slack = 1): string[] {
  return boxes
    .filter(
      (box) =>
        box.left < left - slack || box.right > right + slack || box.top < top - slack || box.bottom > bottom + slack,
    )
    .map(({ text }) => text);
}
