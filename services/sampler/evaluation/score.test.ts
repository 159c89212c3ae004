import { expect, it } from 'vitest';
import { psnr, ssim } from '@thaw/shared/diffusion';
import { RandomStream } from '@thaw/shared/runtime';
import { ScoreBoard } from './score.js';

const shape = { height: 12, width: 12, channels: 1 };
const drawn = (count: number, lane: number, low: number, high: number): Float32Array[] =>
  Array.from({ length: count }, (_, row) => {
    const stream = new RandomStream(3, 'evaluation', row, lane);
    return Float32Array.from({ length: 144 }, () => low + (high - low) * stream.uniform());
  });

/** Stored evaluations are compared with later ones by gates: the arithmetic must stay the same to the last bit. */
it('gives the bits that stored evaluations have', () => {
  const [originals, degraded, direct, sampled] = [0, 1, 2, 3].map((lane) => drawn(5, lane, -1, 1)) as Float32Array[][];
  const meanTrain = drawn(1, 4, 0, 255)[0]!;
  const board = new ScoreBoard(shape, meanTrain);
  const sums = { absolute: 0, squared: 0, ssim: 0, psnr: 0, meanSquared: 0 };
  const perImage = { square: [] as number[], ssim: [] as number[] };
  originals!.forEach((original, i) => {
    board.add({ original, degraded: degraded![i]!, direct: direct![i]!, sampled: sampled![i]! });
    const clean = original.map((value) => (value + 1) / 2);
    const other = sampled![i]!.map((value) => (value + 1) / 2);
    let [absolute, squared, meanSquared] = [0, 0, 0];
    for (let p = 0; p < clean.length; p++) {
      absolute += Math.abs(other[p]! - clean[p]!);
      squared += (other[p]! - clean[p]!) * (other[p]! - clean[p]!);
      const fromMean = Math.fround(meanTrain[p]! / 255) - clean[p]!;
      meanSquared += fromMean * fromMean;
    }
    sums.absolute += absolute / clean.length;
    sums.squared += squared / clean.length;
    sums.meanSquared += meanSquared / clean.length;
    sums.ssim += ssim(other, clean, { batch: 1, ...shape }).mean;
    sums.psnr += Math.min(100, psnr(other, clean));
    perImage.square.push(squared / clean.length);
    perImage.ssim.push(ssim(other, clean, { batch: 1, ...shape }).mean);
  });
  const scores = board.scores();
  expect(scores.l1.sampled).toBe(sums.absolute / 5);
  expect(scores.rmse.sampled).toBe(Math.sqrt(sums.squared / 5));
  expect(scores.rmse.mean).toBe(Math.sqrt(sums.meanSquared / 5));
  expect(scores.ssim.sampled).toBe(sums.ssim / 5);
  expect(scores.psnr.sampled).toBe(sums.psnr / 5);
  expect(scores.perImage).toEqual(perImage);
  expect(scores.rmse.ratio).toBe(
    scores.rmse.sampled / Math.min(scores.rmse.degraded, scores.rmse.black, scores.rmse.mean),
  );
});

it('scores images below the window of SSIM without one, and equal images with a finite PSNR', () => {
  const small = { height: 4, width: 4, channels: 1 };
  const image = new Float32Array(16).fill(0.25);
  const board = new ScoreBoard(small, new Float32Array(16));
  board.add({ original: image, degraded: image, direct: image, sampled: image });
  expect(board.scores()).toMatchObject({ ssim: { sampled: 0 }, psnr: { sampled: 100 }, l1: { sampled: 0, ratio: 1 } });
});
