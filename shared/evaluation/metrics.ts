/** Names of what can be asked for. */
import { ThawError } from '@thaw/shared/protocol';

export const pixelMetrics = ['rmse', 'ssim', 'psnr', 'l1'] as const;
export type PixelMetric = (typeof pixelMetrics)[number];
/** Both ask for a Frechet distance; what it is called in the report depends on the features. */
export const frechetMetrics = ['fid', 'frechet'] as const;
export type FrechetMetric = (typeof frechetMetrics)[number];
export type Metric = PixelMetric | FrechetMetric;
const metrics: readonly Metric[] = [...pixelMetrics, ...frechetMetrics];

/** Rows of the report: each is compared with the original test images. */
export const reportRows = ['degraded', 'direct', 'sampled'] as const;
export type ReportRow = (typeof reportRows)[number];

/** Metrics by name, separated by commas. @throws ThawError THAW_REQUEST_INVALID naming what is unknown and what there is */
export function parseMetrics(text: string): Metric[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !metrics.some((metric) => metric === name));
  if (unknown.length > 0)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `metrics: "${unknown.join('", "')}" is unknown; there are ${metrics.join(', ')}.`,
    );
  return metrics.filter((metric) => names.includes(metric));
}

export const pixelMetricsOf = (asked: readonly Metric[]): PixelMetric[] =>
  pixelMetrics.filter((metric) => asked.includes(metric));
export const asksForFrechet = (asked: readonly Metric[]): boolean =>
  frechetMetrics.some((metric) => asked.includes(metric));
