/** The report as one HTML file that loads nothing. */
import { unitToPixels } from '@thaw/shared/pixels';
import type { ImageShape } from '../estimates.js';
import { cell } from '../markdown.js';
import { reportRows } from '../metrics.js';
import { conventionSentences, higherIsBetter, titleOf, type EvaluationReport, type PicturedImage } from '../report.js';
import { curvePlot, intervalPlot } from './plots.js';
import { encodePng } from './png.js';
import { pageStyle } from './style.js';

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character]!);

/** @param pictures shown as strips: one column an image, one row what became of it */
export function reportPage(report: EvaluationReport, pictures: readonly PicturedImage[], shape: ImageShape): string {
  const title = `${report.run}, step ${report.step}`;
  const sections = [
    `<section><h2>Scores</h2><div class="scroll">${scoreTable(report)}</div>${notes(report)}</section>`,
    `<section><h2>Intervals</h2><div class="plots">${intervalPlots(report)}</div></section>`,
    ...(report.curve.length === 0
      ? []
      : [`<section><h2>RMSE along the way</h2><div class="scroll">${curvePlot(report.curve)}</div></section>`]),
    ...(pictures.length === 0
      ? []
      : [
          `<section><h2>Images <span class="muted">the first ${pictures.length} compared, shown clamped to 8 bits</span></h2><div class="scroll">${strips(pictures, shape)}</div></section>`,
        ]),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Thaw evaluation</title>
<style>${pageStyle}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1><p class="muted">${escapeHtml(`${report.dataset}, ${report.family}, ${report.sampler}, ${report.count} images of ${report.split}`)}<br><span class="hash">checkpoint ${escapeHtml(report.manifestSha256)}</span></p></header>
<main>
${sections.join('\n')}
</main>
</body>
</html>
`;
}

function scoreTable(report: EvaluationReport): string {
  const metrics = Object.keys(report.scores);
  const head = metrics.map(
    (metric) =>
      `<th scope="col">${escapeHtml(titleOf(metric))} <span class="muted">${higherIsBetter(metric) ? 'higher' : 'lower'} is better</span></th>`,
  );
  const row = (name: string, cells: string[]): string =>
    `<tr><th scope="row">${name}</th>${cells.map((text) => `<td>${text}</td>`).join('')}</tr>`;
  const rows = reportRows.map((name) =>
    row(
      `<span class="key ${name}"></span>${name}`,
      metrics.map((metric) => cellHtml(cell(report.scores[metric]![name]))),
    ),
  );
  const difference = row(
    'sampled − direct',
    metrics.map((metric) => cellHtml(cell(report.sampledMinusDirect[metric]!))),
  );
  return `<table><thead><tr><td></td>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody><tfoot>${difference}</tfoot></table>`;
}

/** The interval below its value. */
const cellHtml = (text: string): string => text.replace(/^(\S+) \((.*)\)$/, '$1<br><span class="muted">$2</span>');

const notes = (report: EvaluationReport): string =>
  `<ul class="notes">${conventionSentences(report)
    .map((sentence) => `<li>${escapeHtml(sentence)}</li>`)
    .join('')}</ul>`;

const intervalPlots = (report: EvaluationReport): string =>
  Object.entries(report.scores)
    .map(
      ([metric, scores]) =>
        `<figure><figcaption>${escapeHtml(titleOf(metric))}</figcaption>${intervalPlot(escapeHtml(titleOf(metric)), scores)}</figure>`,
    )
    .join('');

/** Edge at which an image is shown. */
const shownPixels = 88;

function strips(pictures: readonly PicturedImage[], shape: ImageShape): string {
  const kinds = ['original', ...reportRows] as const;
  const image = (values: Float32Array, alt: string): string =>
    `<td><img alt="${alt}" width="${shownPixels}" height="${Math.round((shownPixels * shape.height) / shape.width)}" src="data:image/png;base64,${Buffer.from(
      encodePng({ ...shape, channels: shape.channels === 3 ? 3 : 1, bytes: unitToPixels(values) }),
    ).toString('base64')}"></td>`;
  const rows = kinds.map(
    (kind) =>
      `<tr><th scope="row">${kind}</th>${pictures.map((picture) => image(picture[kind], `${kind}, image ${picture.image}`)).join('')}</tr>`,
  );
  const numbers = pictures.map(({ image: index }) => `<th scope="col" class="muted">${index}</th>`);
  return `<table class="strips"><thead><tr><td></td>${numbers.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
}
