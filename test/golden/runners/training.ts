/** The trainer's optimizer and average on given gradients. */
import { RunConfigSchema } from '@thaw/shared/protocol';
import { adamRange, adamUpdateOf, updateAverage } from '../../../services/trainer/optimizer/index.js';
import type { Runner } from './runner.js';

export const training: Runner = {
  covers: /^training\//,
  run(golden) {
    const {
      lr,
      betas,
      eps,
      ema_decay: decay,
    } = golden.params as { lr: number; betas: [number, number]; eps: number; ema_decay: number };
    const optimizer = RunConfigSchema.shape.optimizer.parse({
      learningRate: lr,
      beta1: betas[0],
      beta2: betas[1],
      epsilon: eps,
    });
    const weights = golden.floats('w0');
    const size = weights.length;
    const arrays = { weights, firstMoment: new Float32Array(size), secondMoment: new Float32Array(size) };
    const average = weights.slice();
    const gradients = golden.floats('grads');
    const outputs = { weights: [] as number[], average: [] as number[] };
    let [beta1Product, beta2Product] = [1, 1];
    for (let step = 0; step * size < gradients.length; step++) {
      beta1Product *= optimizer.beta1;
      beta2Product *= optimizer.beta2;
      adamRange(arrays, 0, size, gradients, step * size, adamUpdateOf(optimizer, step, beta1Product, beta2Product));
      updateAverage(average, weights, step, { decay, every: 1, startStep: 0 });
      outputs.weights.push(...weights);
      outputs.average.push(...average);
    }
    return outputs;
  },
};
