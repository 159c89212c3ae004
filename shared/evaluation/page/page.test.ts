import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { EvaluationReport } from '../report.js';
import { reportPage } from './page.js';
import { curvePlot, intervalPlot, ticks } from './plots.js';
import { encodePng } from './png.js';

describe('encodePng', () => {
  it.each([1, 3] as const)('writes what another decoder reads, %i channel(s)', async (channels) => {
    const [width, height] = [5, 3];
    const bytes = Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 37) & 255);
    const { data, info } = await sharp(encodePng({ width, height, channels, bytes }))
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([width, height, channels]);
    expect(new Uint8Array(data)).toEqual(bytes);
    expect(() => encodePng({ width: 4, height, channels, bytes })).toThrow('are not 4 x 3 pixels');
  });
});

describe('plots', () => {
  it('have round ticks', () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(-0.013, 0.021, 4)).toEqual([-0.01, 0, 0.01, 0.02]);
    expect(ticks(3, 3)).toEqual([3]);
  });

  it('draw a far score as an arrow and a near one to scale', () => {
    const near = { direct: { value: 1, low: 0.9, high: 1.1 }, sampled: { value: 1.2, low: 1.1, high: 1.3 } };
    expect(intervalPlot('x', { ...near, degraded: { value: 200 } })).toContain('200.0 →');
    expect(intervalPlot('x', { ...near, degraded: { value: -200 } })).toContain('← -200.0');
    expect(intervalPlot('x', { ...near, degraded: { value: 1.5 } })).not.toMatch(/[←→]/);
  });

  it('have finite coordinates where there is nothing to spread', () => {
    const same = { value: 0 };
    const plots = [
      intervalPlot('x', { degraded: same, direct: same, sampled: same }),
      intervalPlot('x', { degraded: { value: 3 }, direct: same, sampled: same }),
      curvePlot([{ severity: 4, state: 0, estimate: 0 }]),
    ];
    for (const plot of plots) expect(plot).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('reportPage', () => {
  const report: EvaluationReport = {
    format: 'thaw.evaluation-report/2',
    run: '<b>&"',
    step: 1,
    manifestSha256: 'e'.repeat(64),
    fingerprint: 'f'.repeat(64),
    dataset: 'd',
    split: 'test',
    family: 'blur',
    sampler: 'direct',
    severities: [2],
    seed: 0,
    count: 1,
    convention: { degraded: 'x_T', sampled: 'x_0', firstImage: 0 },
    scores: {},
    sampledMinusDirect: {},
    curve: [],
  };
  it('escapes names, loads nothing, and leaves out what there is not', () => {
    const page = reportPage(report, [], { height: 1, width: 1, channels: 1 });
    expect(page).toContain('<h1>&lt;b&gt;&amp;&quot;, step 1</h1>');
    expect(page).not.toMatch(/https?:|<script|<link|url\(/);
    expect(page).not.toContain('RMSE along the way');
    expect(page.match(/<section>/g)).toHaveLength(2);
  });
});
