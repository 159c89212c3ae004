/** The page of an evaluation in a real browser: it loads nothing, complains of nothing, and fits a phone. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { evaluate, officialConvention, reportPage, type Estimate, type EstimateSource } from '@thaw/shared/evaluation';
import { RandomStream } from '@thaw/shared/runtime';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { complaintsOf, findChromium, openBrowser } from './chromium.fixture.js';

const chromium = findChromium();
const reason = chromium === undefined ? ' (no Chromium was found; set THAW_TEST_CHROMIUM or put one on the PATH)' : '';

const shape = { height: 16, width: 16, channels: 3 };
function estimate(image: number): Estimate {
  const stream = new RandomStream(1, 'evaluation', 0, 5, image);
  const original = Float32Array.from({ length: 768 }, () => 2 * stream.uniform() - 1);
  return {
    original,
    degraded: original.map(() => 0),
    direct: original.map((value) => 0.8 * value),
    sampled: original.map((value) => 0.95 * value),
    errors: [2, 1].map((severity) => ({ severity, state: severity / 20, estimate: 0.01 * severity })),
  };
}
const source: EstimateSource = {
  origin: {
    run: 'a<script>document.title = 1</script>',
    step: 3,
    manifestSha256: 'd'.repeat(64),
    fingerprint: 'f'.repeat(64),
    dataset: 'noise',
    split: 'test',
    family: 'blur',
    sampler: 'algorithm2',
    severities: [2, 1],
    seed: 0,
  },
  shape,
  available: 40,
  blockSize: 20,
  estimates: (images) => Promise.resolve(images.map(estimate)),
};

describe.skipIf(chromium === undefined)(`the report of an evaluation${reason}`, () => {
  let folder: string;
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'thaw-report-'));
    const { report, pictures } = await evaluate(source, {
      metrics: ['rmse', 'ssim', 'psnr'],
      convention: officialConvention('blur', 2),
      seed: 0,
    });
    writeFileSync(join(folder, 'report.html'), reportPage(report, pictures, shape));
    browser = await openBrowser(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ['a desk', 1200],
    ['a phone', 390],
  ])('is whole on %s', async (_, width) => {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const complaints = complaintsOf(page);
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url().slice(0, 5)));
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
    expect(await page.title()).toBe('a<script>document.title = 1</script>, step 3 · Thaw evaluation');
    expect(await page.locator('section').count()).toBe(4);
    expect(await page.locator('figure svg').count()).toBe(3);
    expect(await page.locator('polyline').count()).toBe(2);
    // Four rows of ten pictures, every one decoded to its size.
    const sizes = await page
      .locator('img')
      .evaluateAll((images) => images.map((image) => (image as unknown as { naturalWidth: number }).naturalWidth));
    expect(sizes).toEqual(Array.from({ length: 40 }, () => 16));
    expect(await page.evaluate('document.documentElement.scrollWidth <= document.documentElement.clientWidth')).toBe(
      true,
    );
    expect(complaints).toEqual([]);
    expect(requests).toEqual(['file:']);
    await page.close();
  });
});
