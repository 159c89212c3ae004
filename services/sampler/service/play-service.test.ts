import sharp from 'sharp';
import { afterEach, expect, it } from 'vitest';
import type { FramesAnswer } from '@thaw/shared/protocol';
import { MemoryStore } from '@thaw/shared/storage';
import { parseJobRequest } from '../jobs/index.js';
import { MemoryMeshHub } from '../mesh/index.js';
import type { Playground } from '../ports.js';
import { startHarness, type Harness, type HarnessOptions } from '../sampler.fixture.js';

const running: Harness[] = [];
async function start(options: HarnessOptions = {}): Promise<{ sampler: Harness; playground: Playground }> {
  const hub = options.hub ?? new MemoryMeshHub();
  const sampler = await startHarness({ ...options, hub });
  running.push(sampler);
  return { sampler, playground: hub.playground };
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((harness) => harness.close()));
});

/** All frames of a job, asked for as a page does. */
async function watch(playground: Playground, job: string, after = 0): Promise<FramesAnswer> {
  const frames: FramesAnswer['frames'] = [];
  for (;;) {
    const answer = await playground.frames({ job, after: after + frames.length, waitMs: 1000 });
    frames.push(...answer.frames);
    if (answer.end !== undefined) return { frames, end: answer.end };
  }
}
const pixels = (png: Uint8Array): Promise<Buffer> => sharp(png).extractChannel(0).raw().toBuffer();

it('shows a test image thawing, severity by severity, from any sampler, and again from any place', async () => {
  const hub = new MemoryMeshHub();
  const store = new MemoryStore();
  const { sampler, playground } = await start({ hub, store });
  await start({ hub, store, name: 'sampler-b' });
  const { job, severities, version } = await playground.start({ seed: 7, sampler: 'algorithm2' });
  expect([severities, version.step]).toEqual([[6, 5, 4, 3, 2, 1, 0], 3]);
  const { frames, end } = await watch(playground, job);
  expect(frames.map(({ sequence, severity }) => [sequence, severity])).toEqual(severities.map((s, k) => [k + 1, s]));
  expect(end).toMatchObject({ state: 'done' });
  const { images } = await sampler.service.result(job, 0);
  const bytes = (image: Float32Array): Buffer =>
    Buffer.from(Uint8Array.from(image, (value) => Math.round((Math.max(-1, Math.min(1, value)) + 1) * 127.5)));
  for (const [png, image] of [
    [frames[0]!.x, images.degraded!],
    [frames[0]!.estimate, images.direct!],
    [frames.at(-1)!.x, images.sampled!],
    [end!.original!, images.original!],
  ] as const) {
    const [shown, meant] = [await pixels(png), bytes(image)];
    expect(shown.length).toBe(meant.length);
    expect(shown.every((value, i) => Math.abs(value - meant[i]!) <= 1)).toBe(true);
  }
  expect((await watch(playground, job, 4)).frames).toEqual(frames.slice(4));
});

it('degrades an image that is given first, and refuses what is none', async () => {
  const { playground } = await start();
  const image = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#c04020' } })
    .png()
    .toBuffer();
  const asked = { seed: 1, image: new Uint8Array(image), sampler: 'direct' } as const;
  await expect(playground.start(asked)).rejects.toThrow('image: the file is in colour; the model takes greyscale');
  const { job } = await playground.start({ ...asked, convert: true });
  const { frames, end } = await watch(playground, job);
  expect(frames.at(-1)!.severity).toBe(0);
  expect(await sharp(end!.original).metadata()).toMatchObject({ width: 16, height: 16 });
  await expect(playground.start({ seed: 1, image: Uint8Array.of(1, 2, 3), sampler: 'direct' })).rejects.toMatchObject({
    code: 'THAW_IMAGE_INVALID',
  });
});

it('gives no frames of jobs that are unknown, keep none, or ended before', async () => {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const { sampler, playground } = await start({ gate: () => released });
  const ask = (job: string): Promise<FramesAnswer> => playground.frames({ job, after: 0, waitMs: 0 });
  await expect(ask('0'.repeat(32))).rejects.toMatchObject({ code: 'THAW_JOB_NOT_FOUND' });
  const plain = await sampler.service.submit(parseJobRequest({ seed: 1 }));
  await expect(ask(plain.id)).rejects.toMatchObject({ code: 'THAW_FRAMES_NOT_KEPT' });
  const { job } = await playground.start({ seed: 2, sampler: 'algorithm2' });
  expect((await ask(job)).end).toBeUndefined();
  await sampler.service.cancel(job);
  expect((await watch(playground, job)).end).toEqual({ state: 'cancelled' });
  release();
});
