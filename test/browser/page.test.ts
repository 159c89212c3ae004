/** The page as a person sees it: a real cluster of processes and a real browser. */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { readLog } from '@thaw/shared/storage';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Child } from '../../cli/cluster/children.js';
import { isAlive } from '../../cli/cluster/cluster-file.js';
import { ProcessCluster, smallRun, token, until } from '../processes/cluster.fixture.js';
import { complaintsOf, findChromium, openBrowser } from './chromium.fixture.js';

const chromium = findChromium();
const reason = chromium === undefined ? ' (no Chromium was found; set THAW_TEST_CHROMIUM or put one on the PATH)' : '';
/** Where pictures of the page are put, if they are wanted. */
const pictures = process.env.THAW_TEST_PICTURES;

describe.skipIf(chromium === undefined)(`the page${reason}`, () => {
  let cluster: ProcessCluster;
  let browser: Browser;
  let page: Page;
  let coordinator: Child;
  let trainers: Child[];
  let complaints: string[];

  const startCoordinator = (port = '0'): Promise<Child> =>
    cluster.start('coordinator', { THAW_EVALUATION_IMAGES: '16', THAW_PORT: port });
  const urlOf = (child: Child): string => String(child.ready.listening);
  const text = async (selector: string): Promise<string> => ((await page.textContent(selector)) ?? '').trim();
  const stepShown = async (): Promise<number> => Number((await text('#step')).split('/')[0]);
  const picture = async (name: string): Promise<void> => {
    if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  };

  beforeAll(async () => {
    cluster = await ProcessCluster.create(smallRun({ steps: 100_000, checkpoint: { everySteps: 20 } }));
    coordinator = await startCoordinator();
    trainers = await Promise.all([cluster.start('trainer'), cluster.start('trainer')]);
    await cluster.start('sampler');
    browser = await openBrowser(chromium!);
    page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' });
    complaints = complaintsOf(page);
  });
  afterAll(async () => {
    await browser?.close();
    await cluster?.close();
  });

  test('opens by the address with the token, which then leaves the address', async () => {
    await page.goto(`${urlOf(coordinator)}/?token=${token}`);
    expect(page.url()).toBe(`${urlOf(coordinator)}/`);
    expect(await page.evaluate('document.cookie')).toBe('');
    await until('the run is shown', async () => (await text('#run')) === 'small');
  });

  test('without the token there is nothing to see', async () => {
    const stranger = await browser.newContext();
    const other = await stranger.newPage();
    const answer = await other.goto(`${urlOf(coordinator)}/`);
    expect(answer!.status()).toBe(401);
    expect(await other.textContent('body')).toContain('THAW_UNAUTHORIZED');
    await stranger.close();
  });

  test('shows step, loss and throughput live, and draws both curves', async () => {
    const first = await until('a first step', async () => (await stepShown()) || undefined);
    await until('further steps', async () => (await stepShown()) > first + 5);
    await until('a throughput', async () => Number(await text('#speed')) > 0);
    expect(Number(await text('#loss'))).toBeGreaterThan(0);
    await until('the run is running', async () => (await text('#state')) === 'running');
    for (const chart of ['loss-chart', 'speed-chart'])
      await until(`a curve in ${chart}`, async () => {
        // Read from a copy: pixels of the page's own canvas are not fetched back.
        const coloured = await page.evaluate<number>(`(() => {
          const canvas = document.getElementById('${chart}');
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
          let coloured = 0;
          for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i + 2] - data[i] > 60) coloured++;
          return coloured;
        })()`);
        return coloured > 100;
      });
  });

  test('shows the trainers with their lanes, each lane with one of them', async () => {
    await until('two trainers with lanes', async () => (await page.locator('.trainer:has(.lane.mine)').count()) === 2);
    const lanes = await page.locator('.trainer .lane.mine').allTextContents();
    expect(lanes.sort()).toEqual(['0', '1', '2', '3']);
  });

  test('shows checkpoints, and restorations of test images when one is evaluated', async () => {
    await until('a checkpoint', async () => (await page.locator('#checkpoints tr').count()) > 0);
    await page.locator('#grid').waitFor({ state: 'visible', timeout: 60_000 });
    await until(
      'the picture is loaded',
      async () => await page.evaluate('document.getElementById("grid").naturalWidth > 0'),
    );
    expect(await text('#grid-caption')).toMatch(/16 test images .* L1 0\.\d+/);
    await until('scores beside the checkpoint', async () =>
      (await page.locator('#checkpoints tr td:nth-child(4)').allTextContents()).some((cell) =>
        /^\d\.\d{3}$/.test(cell),
      ),
    );
    await picture('light');
  });

  test('promotes and rolls back, and the log says that the page did it', async () => {
    const steps = await until('two checkpoints', async () => {
      const found = await page
        .locator('#checkpoints tr')
        .evaluateAll((rows) =>
          rows.map((row) => Number((row as unknown as { dataset: { step: string } }).dataset.step)),
        );
      return found.length >= 2 ? found.slice(-2).reverse() : undefined;
    });
    const stable = page.locator('.channel[data-channel=stable]');
    for (const step of steps) {
      await page.locator(`#checkpoints tr[data-step="${step}"] button`).click();
      await until(
        `stable serves ${step}`,
        async () => (await stable.count()) === 1 && (await stable.textContent())!.includes(`step ${step}`),
      );
    }
    await stable.locator('button').click();
    await until('stable is rolled back', async () => (await stable.textContent())!.includes(`step ${steps[0]}`));
    expect(await stable.textContent()).toContain('rollback');
    const records = [];
    for await (const { record } of readLog(cluster.store, 'stable'))
      records.push([record.action, record.step, record.actor]);
    expect(records).toEqual([
      ['promote', steps[0], 'page'],
      ['promote', steps[1], 'page'],
      ['rollback', steps[0], 'page'],
    ]);
    await stable.locator('button').click();
    await until('the refusal is a sentence', async () => (await text('#message')).includes('THAW_CHANNEL_NOT_FOUND'));
    // The browser's own line about the answer 404.
    expect(complaints.splice(0).filter((line) => !line.includes('404'))).toEqual([]);
  });

  test('shows earlier restorations over the training', async () => {
    await page.locator('#grid-choice').waitFor({ state: 'visible', timeout: 60_000 });
    await page.locator('#grid-slider').fill('0');
    // The first that was evaluated: those that were overtaken before a sampler had time for them never are.
    const first = await until('the first one is shown', async () => {
      const [scored, shown] = await page.evaluate<[steps: number[], shown: string]>(`[
        [...document.querySelectorAll('#checkpoints tr')].filter((row) => /^\\d/.test(row.cells[3].textContent)).map((row) => Number(row.dataset.step)),
        document.getElementById('grid-step').textContent,
      ]`);
      const oldest = Math.min(...scored);
      return scored.length > 1 && shown === `step ${oldest}` ? oldest : undefined;
    });
    await until('its picture', async () =>
      page.evaluate<boolean>(
        `(() => { const grid = document.getElementById('grid'); return grid.src.endsWith('/${first}.png') && grid.complete && grid.naturalWidth > 0; })()`,
      ),
    );
  });

  const thawed = (): Promise<true> =>
    until('it has thawed', async () => (await text('#play-severity')) === 'thawed' || undefined).then(
      () => true as const,
    );
  const sourceOf = (id: string): Promise<string> => page.evaluate<string>(`document.getElementById('${id}').src`);
  /** Mean brightness of an image or canvas of the page. */
  const brightness = (id: string): Promise<number> =>
    page.evaluate<number>(`(() => {
      const image = document.getElementById('${id}');
      const copy = new OffscreenCanvas(64, 64).getContext('2d', { willReadFrequently: true });
      copy.drawImage(image, 0, 0, 64, 64);
      const { data } = copy.getImageData(0, 0, 64, 64);
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) sum += data[i];
      return sum / (64 * 64);
    })()`);

  test('lets a test image thaw frame by frame', async () => {
    // Written down by the page itself: a frame is shown for a moment, and questions from here may come too late for it.
    await page.evaluate(`{
      globalThis.shownFrames = [];
      const source = () => document.getElementById('play-x').src;
      new MutationObserver((records) => {
        for (const { addedNodes } of records)
          for (const { textContent } of addedNodes) globalThis.shownFrames.push([textContent, source()]);
      }).observe(document.getElementById('play-severity'), { childList: true });
    }`);
    await page.locator('#play-test').click();
    await thawed();
    const frames = (await page.evaluate<[label: string, source: string][]>('globalThis.shownFrames')).filter(
      ([label]) => label !== 'thawing',
    );
    expect(frames.map(([label]) => label)).toEqual([...[4, 3, 2, 1].map((s) => `severity ${s}`), 'thawed']);
    expect(new Set(frames.map(([, source]) => source)).size).toBe(5);
    await until('the original is shown', async () => (await brightness('play-original')) > 5);
    expect(await brightness('play-x')).toBeGreaterThan(5);
    expect(await text('#play-version')).toMatch(/^weights of step \d+$/);
    const last = await sourceOf('play-x');
    await page.locator('#play-slider').fill('1');
    expect([await text('#play-severity'), (await sourceOf('play-x')) !== last]).toEqual(['severity 3', true]);
    await picture('playground');
  });

  test('lets a drawing and a file thaw, and says why another file does not', async () => {
    await page.locator('#play-draw').click();
    await page.locator('#play-original').scrollIntoViewIfNeeded();
    const box = (await page.locator('#play-original').boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + box.height * 0.2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height * 0.8, { steps: 5 });
    await page.mouse.up();
    expect(await brightness('play-original')).toBeGreaterThan(5);
    await page.locator('#play-draw').click();
    await thawed();
    const drawn = await sourceOf('play-x');
    expect(await brightness('play-x')).toBeGreaterThan(2);
    const png = await page.locator('#play-original').screenshot();
    await page.locator('#play-file').setInputFiles({ name: 'digit.png', mimeType: 'image/png', buffer: png });
    await until('another image', async () => (await sourceOf('play-x')) !== drawn);
    await thawed();
    expect(await sourceOf('play-x')).not.toBe(drawn);
    const nonsense = { name: 'digit.png', mimeType: 'image/png', buffer: Buffer.from('no picture') };
    await page.locator('#play-file').setInputFiles(nonsense);
    await until('a sentence', async () => (await text('#play-note')).includes('Choose a PNG or a JPEG'));
  });

  test('fits a phone, and the dark', async () => {
    for (const [name, scheme] of [
      ['phone', 'light'],
      ['phone-dark', 'dark'],
    ] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width: 390, height: 844 });
      await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
      // Measured in one go: the page may put a new row in the place of an old one between two questions.
      const inTable = ['#target', 'tbody tr:first-child button'];
      for (const element of inTable) await page.locator(`#checkpoints-table ${element}`).waitFor();
      const within = await page.evaluate(`${JSON.stringify(inTable)}.map((element) => {
        const { left, right } = document.querySelector('#checkpoints-table ' + element).getBoundingClientRect();
        return [element, left >= 0 && left < right && right <= 390];
      })`);
      expect(within).toEqual(inTable.map((element) => [element, true]));
      await picture(name);
    }
    await page.setViewportSize({ width: 1200, height: 900 });
    await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
    await picture('dark');
    const colours = await page.evaluate<string[]>(
      `['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name])`,
    );
    const bright = colours.map((colour) =>
      colour
        .match(/\d+/g)!
        .slice(0, 3)
        .reduce((sum, value) => sum + Number(value), 0),
    );
    expect(bright[0]).toBeGreaterThan(bright[1]! + 300);
    await page.emulateMedia({ colorScheme: 'light' });
  });

  test('complained about nothing so far', () => {
    expect(complaints).toEqual([]);
  });

  test('says that the coordinator is gone, and goes on when it is back', async () => {
    const before = await stepShown();
    await cluster.kill(coordinator);
    await until('the page says so', async () => (await text('#state')) === 'coordinator not reachable');
    coordinator = await startCoordinator(new URL(urlOf(coordinator)).port);
    await until('the run goes on', async () => (await text('#state')) === 'running' && (await stepShown()) > before);
    await until(
      'both trainers are shown again',
      async () => (await page.locator('.trainer:has(.lane.mine)').count()) === 2,
    );
    expect(trainers.every(({ pid }) => isAlive(pid))).toBe(true);
    expect(
      complaints.filter(
        (line) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/.test(line),
      ),
    ).toEqual([]);
  });
});
