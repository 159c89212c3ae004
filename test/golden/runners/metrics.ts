import { rmse, ssim } from '@thaw/shared/diffusion';
import { featureStatistics, frechetDistance } from '@thaw/shared/evaluation';
import { fromNchw } from './images.js';
import type { Runner } from './runner.js';

export const similarity: Runner = {
  covers: /^metrics\/ssim_rmse/,
  run(golden) {
    const a = fromNchw(golden.input('a'));
    const b = fromNchw(golden.input('b'));
    const [batch, height, width, channels] = a.shape;
    const result = ssim(a.data, b.data, { batch, height, width, channels });
    return { ssim: [result.mean], ssim_per_channel: result.perChannel, rmse: [rmse(a.data, b.data)] };
  },
};

export const frechet: Runner = {
  covers: /^metrics\/frechet/,
  run(golden) {
    const statistics = (name: string) => featureStatistics(golden.input(name).data, golden.input(name).shape[1]!);
    return { distance: [frechetDistance(statistics('a'), statistics('b'))] };
  },
};
