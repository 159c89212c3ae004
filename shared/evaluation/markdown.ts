/** The report as Markdown. */
import type { Distance } from './frechet-scores.js';
import { reportRows } from './metrics.js';
import { conventionSentences, titleOf, type EvaluationReport } from './report.js';

/** Four digits. */
export const number = (value: number): string => value.toPrecision(4);

export const cell = ({ value, low, high }: Distance): string =>
  low === undefined || high === undefined ? number(value) : `${number(value)} (${number(low)} to ${number(high)})`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

export function reportMarkdown(report: EvaluationReport): string {
  const metrics = Object.keys(report.scores);
  const scores = table(
    ['', ...metrics.map(titleOf)],
    [
      ...reportRows.map((row) => [row, ...metrics.map((metric) => cell(report.scores[metric]![row]))]),
      ['sampled - direct', ...metrics.map((metric) => cell(report.sampledMinusDirect[metric]!))],
    ],
  );
  const curve = table(
    ['severity', 'state x_s', 'estimate R(x_s)'],
    report.curve.map(({ severity, state, estimate }) => [String(severity), number(state), number(estimate)]),
  );
  return [
    `# ${report.run}, step ${report.step}`,
    scores,
    conventionSentences(report).join('\n'),
    ...(report.curve.length === 0 ? [] : ['RMSE along the way:', curve]),
  ]
    .join('\n\n')
    .concat('\n');
}
