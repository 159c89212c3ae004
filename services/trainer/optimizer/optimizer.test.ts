import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adamRange, adamUpdateOf, learningRateOf, updateAverage } from './index.js';

fc.configureGlobal({ seed: 2208_09392 });

const config = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, warmupSteps: 0 };

/** The textbook formula (Kingma and Ba, algorithm 1) in double precision with powers. */
function textbook(weights: readonly number[], gradients: readonly (readonly number[])[], c: typeof config): number[] {
  return weights.map((start, i) => {
    let [w, m, v] = [start, 0, 0];
    gradients.forEach((gradient, k) => {
      const g = gradient[i]!;
      m = c.beta1 * m + (1 - c.beta1) * g;
      v = c.beta2 * v + (1 - c.beta2) * g * g;
      const mean = m / (1 - c.beta1 ** (k + 1));
      const square = v / (1 - c.beta2 ** (k + 1));
      w -= (learningRateOf(c, k) * mean) / (Math.sqrt(square) + c.epsilon);
    });
    return w;
  });
}

describe('Adam', () => {
  it('agrees with the textbook formula over many steps', () => {
    const value = fc.float({ min: -10, max: 10, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 3, maxLength: 3 }),
        fc.array(fc.array(value, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 40 }),
        fc.constantFrom(0, 10),
        (weights, gradients, warmupSteps) => {
          const c = { ...config, warmupSteps };
          const arrays = {
            weights: Float32Array.from(weights),
            firstMoment: new Float32Array(3),
            secondMoment: new Float32Array(3),
          };
          let [product1, product2] = [1, 1];
          gradients.forEach((gradient, step) => {
            product1 *= c.beta1;
            product2 *= c.beta2;
            adamRange(arrays, 0, 3, Float32Array.from(gradient), 0, adamUpdateOf(c, step, product1, product2));
          });
          const expected = textbook([...Float32Array.from(weights)], gradients, c);
          // A step moves a weight by about the learning rate; fp32 keeps 24 bits of a weight of up to 10.
          for (let i = 0; i < 3; i++)
            expect(Math.abs(arrays.weights[i]! - expected[i]!)).toBeLessThan(2e-6 * gradients.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('treats a range as the whole, with the gradient at any offset', () => {
    const make = () => ({
      weights: Float32Array.of(1, 2, 3, 4),
      firstMoment: Float32Array.of(0.1, 0.2, 0.3, 0.4),
      secondMoment: Float32Array.of(1, 2, 3, 4),
    });
    const gradient = Float32Array.of(0.5, -0.5, 0.25, -0.25);
    const update = adamUpdateOf(config, 5, 0.5, 0.9);
    const whole = make();
    adamRange(whole, 0, 4, gradient, 0, update);
    const parts = make();
    adamRange(parts, 2, 4, gradient.slice(2), 0, update);
    adamRange(parts, 0, 2, gradient, 0, update);
    expect(parts).toEqual(whole);
    expect(whole.weights[0]).not.toBe(1);
  });

  it('warms up linearly: step k has (k + 1) / n of the rate, until n', () => {
    const c = { ...config, warmupSteps: 4 };
    expect([0, 1, 2, 3, 4, 100].map((step) => learningRateOf(c, step) / c.learningRate)).toEqual([
      0.25, 0.5, 0.75, 1, 1, 1,
    ]);
    expect(learningRateOf(config, 0)).toBe(config.learningRate);
  });
});

describe('the moving average', () => {
  const ema = { decay: 0.75, every: 2, startStep: 4 };
  it('is a copy before it starts, and is looked at every few steps only', () => {
    const average = Float32Array.of(0);
    updateAverage(average, Float32Array.of(8), 1, ema);
    expect(average[0]).toBe(0);
    updateAverage(average, Float32Array.of(8), 2, ema);
    expect(average[0]).toBe(8);
    updateAverage(average, Float32Array.of(16), 4, ema);
    expect(average[0]).toBe(10);
    updateAverage(average, Float32Array.of(160), 5, ema);
    expect(average[0]).toBe(10);
  });
});
