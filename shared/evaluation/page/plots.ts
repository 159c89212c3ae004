/** Plots as inline SVG: no script, colours from the page's style sheet. */
import type { Distance } from '../frechet-scores.js';
import { number } from '../markdown.js';
import { reportRows, type ReportRow } from '../metrics.js';
import type { CurvePoint } from '../pixel-scores.js';

/** Two decimals are enough for a screen. */
const at = (value: number): string => String(Math.round(value * 100) / 100);

/** About `wanted` round numbers from low to high. */
export function ticks(low: number, high: number, wanted = 5): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const found: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    found.push(Number((k * step).toPrecision(12)));
  return found;
}

const label = (value: number): string => String(Number(value.toPrecision(6)));

/** How far beyond direct and sampled, in widths of their range, degraded may lie and still be drawn to scale. */
const farAway = 4;

/** Points with intervals, one line for each row of the report. A row that would squeeze the others together becomes an arrow. */
export function intervalPlot(title: string, scores: Readonly<Record<ReportRow, Distance>>): string {
  const [width, left, right, lineHeight] = [420, 74, 16, 26];
  const height = reportRows.length * lineHeight + 30;
  const ends = (rows: readonly ReportRow[]): number[] =>
    rows.flatMap((row) => [
      scores[row].low ?? scores[row].value,
      scores[row].value,
      scores[row].high ?? scores[row].value,
    ]);
  const range = (rows: readonly ReportRow[]): readonly [number, number] => [
    Math.min(...ends(rows)),
    Math.max(...ends(rows)),
  ];
  const [near, whole] = [range(['direct', 'sampled']), range(reportRows)];
  const fits = whole[1] - whole[0] <= (1 + farAway) * (near[1] - near[0]);
  const [least, most] = fits || near[0] === near[1] ? whole : near;
  const room = most > least ? (most - least) * 0.08 : Math.abs(most) * 0.1 || 0.1;
  const [low, high] = [least - room, most + room];
  const x = (value: number): string => at(left + ((value - low) / (high - low)) * (width - left - right));
  const grid = ticks(low, high, 4).map(
    (value) =>
      `<line class="grid" x1="${x(value)}" x2="${x(value)}" y1="4" y2="${height - 22}"/><text class="tick" x="${x(value)}" y="${height - 6}" text-anchor="middle">${label(value)}</text>`,
  );
  const rows = reportRows.map((row, i) => {
    const y = 4 + (i + 0.5) * lineHeight;
    const score = scores[row];
    const name = `<title>${row}: ${number(score.value)}</title><text x="${left - 10}" y="${y + 4}" text-anchor="end">${row}</text>`;
    if (score.value > high)
      return `<g>${name}<text class="${row}" x="${width - right}" y="${y + 4}" text-anchor="end">${number(score.value)} →</text></g>`;
    if (score.value < low)
      return `<g>${name}<text class="${row}" x="${left}" y="${y + 4}">← ${number(score.value)}</text></g>`;
    const bar =
      score.low === undefined || score.high === undefined
        ? ''
        : `<line class="bar ${row}" x1="${x(score.low)}" x2="${x(score.high)}" y1="${y}" y2="${y}"/>`;
    return `<g>${name}${bar}<circle class="${row}" cx="${x(score.value)}" cy="${y}" r="4.5"/></g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">${grid.join('')}${rows.join('')}</svg>`;
}

/** RMSE over severities, from T on the left to 1 on the right, as sampling goes. */
export function curvePlot(points: readonly CurvePoint[]): string {
  const [width, height, left, right, top, bottom] = [860, 300, 56, 110, 12, 42];
  const severities = points.map(({ severity }) => severity);
  const [first, last] = [Math.max(...severities), Math.min(...severities)];
  const highest = Math.max(...points.flatMap(({ state, estimate }) => [state, estimate]), 1e-6) * 1.05;
  const x = (severity: number): number =>
    first === last ? (left + width - right) / 2 : left + ((first - severity) / (first - last)) * (width - left - right);
  const y = (value: number): number => top + (1 - value / highest) * (height - top - bottom);
  const horizontal = ticks(0, highest).map(
    (value) =>
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${at(y(value))}" y2="${at(y(value))}"/><text class="tick" x="${left - 8}" y="${at(y(value) + 4)}" text-anchor="end">${label(value)}</text>`,
  );
  const vertical = ticks(last, first, 8)
    .filter((severity) => Number.isInteger(severity))
    .map(
      (severity) =>
        `<text class="tick" x="${at(x(severity))}" y="${height - bottom + 18}" text-anchor="middle">${severity}</text>`,
    );
  const line = (kind: 'state' | 'estimate', text: string): string => {
    const path = points.map((point) => `${at(x(point.severity))},${at(y(point[kind]))}`);
    const end = points.at(-1)!;
    const dots = points.map(
      (point) =>
        `<circle class="${kind}" cx="${at(x(point.severity))}" cy="${at(y(point[kind]))}" r="3"><title>severity ${point.severity}: ${number(point[kind])}</title></circle>`,
    );
    return `<polyline class="${kind}" points="${path.join(' ')}"/>${dots.join('')}<text class="${kind}" x="${at(x(end.severity) + 10)}" y="${at(labelY(kind, end, y))}">${text}</text>`;
  };
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="RMSE of states and estimates by severity">${horizontal.join('')}${vertical.join('')}<text class="tick" x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">severity s, as sampling goes</text>${line('state', 'state x_s')}${line('estimate', 'estimate R(x_s)')}</svg>`;
}

/** Names at the ends of the lines keep a line's height between them. */
function labelY(kind: 'state' | 'estimate', end: CurvePoint, y: (value: number) => number): number {
  const [own, other] = kind === 'state' ? [y(end.state), y(end.estimate)] : [y(end.estimate), y(end.state)];
  const gap = 16;
  if (Math.abs(own - other) >= gap) return own + 4;
  const middle = (own + other) / 2 + 4;
  const upper = kind === 'state' ? own <= other : own < other;
  return middle + (upper ? -gap / 2 : gap / 2);
}
