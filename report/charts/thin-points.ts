import type { ChartPoint } from './line-chart.js';

/**
 * At most about `limit` points with the same outline: of each stretch the lowest and the highest, where they are, and
 * every gap. More cannot be told apart on a chart a thousand pixels wide.
 */
export function thinPoints(points: readonly ChartPoint[], limit: number): readonly ChartPoint[] {
  if (points.length <= limit) return points;
  const stretch = Math.ceil(points.length / Math.max(1, Math.floor(limit / 2)));
  const kept: ChartPoint[] = [];
  for (let start = 0; start < points.length; start += stretch) {
    const part = points.slice(start, start + stretch);
    let lowest: ChartPoint | undefined;
    let highest: ChartPoint | undefined;
    for (const point of part) {
      if (point.y === null) continue;
      if (lowest === undefined || point.y < (lowest.y ?? 0)) lowest = point;
      if (highest === undefined || point.y > (highest.y ?? 0)) highest = point;
    }
    const gap = part.find(({ y }) => y === null);
    kept.push(...part.filter((point) => point === lowest || point === highest || point === gap));
  }
  return kept;
}
