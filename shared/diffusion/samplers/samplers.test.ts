import { describe, expect, it } from 'vitest';
import { createDegradation } from '../registry.js';
import { checkAlgorithm, planSampling, planSeverities, samplingStep, severitySequence } from './plan.js';
import type { SamplingPlan, SamplingStep } from './plan.js';
import { algorithm2Update, runSampler, traceSampler } from './run.js';

function stepsOf(plan: SamplingPlan): SamplingStep[] {
  const steps: SamplingStep[] = [];
  for (let position = 0; ; position++) {
    const step = samplingStep(plan, position);
    if (step === undefined) return steps;
    steps.push(step);
  }
}

describe('severitySequence', () => {
  it('runs from T to 1', () => {
    expect(severitySequence(4)).toEqual([4, 3, 2, 1]);
    expect(severitySequence(1)).toEqual([1]);
  });

  it('thins evenly, starts at T, falls strictly, never reaches 0', () => {
    expect(severitySequence(8, 4)).toEqual([8, 6, 4, 2]);
    for (let steps = 1; steps <= 40; steps++)
      for (let count = 1; count <= steps; count++) {
        const sequence = severitySequence(steps, count);
        expect(sequence).toHaveLength(count);
        expect(sequence[0]).toBe(steps);
        expect(sequence.every((s, k) => s >= 1 && (k === 0 || s < sequence[k - 1]!))).toBe(true);
      }
  });

  it('refuses other counts', () => {
    for (const count of [0, -1, 9, 1.5, NaN]) expect(() => severitySequence(8, count)).toThrow('the model has 8');
    expect(() => planSeverities('algorithm2', 8, [8, 8])).toThrow('falling');
    expect(() => planSeverities('algorithm2', 8, [9, 1])).toThrow('falling');
    expect(() => planSeverities('algorithm2', 8, [])).toThrow('falling');
    expect(planSeverities('algorithm2', 8, [5, 1]).severities).toEqual([5, 1]);
  });
});

describe('samplingStep', () => {
  it('gives the network the index s - 1, and ends at 0', () => {
    expect(stepsOf(planSampling({ algorithm: 'algorithm2', steps: 3 }))).toEqual([
      { severity: 3, stepIndex: 2, nextSeverity: 2, update: 'improve', last: false },
      { severity: 2, stepIndex: 1, nextSeverity: 1, update: 'improve', last: false },
      { severity: 1, stepIndex: 0, nextSeverity: 0, update: 'improve', last: true },
    ]);
  });

  it('algorithm 1 ends with the estimate; direct is one call', () => {
    expect(stepsOf(planSampling({ algorithm: 'algorithm1', steps: 2 })).map((s) => s.update)).toEqual([
      'degrade-estimate',
      'estimate',
    ]);
    expect(stepsOf(planSampling({ algorithm: 'direct', steps: 5 }))).toEqual([
      { severity: 5, stepIndex: 4, nextSeverity: 0, update: 'estimate', last: true },
    ]);
  });
});

describe('estimated noise', () => {
  it('ends with the estimate, and is for mixtures with noise only', () => {
    expect(stepsOf(planSampling({ algorithm: 'ddim', steps: 3 })).map((s) => s.update)).toEqual([
      'renoise',
      'renoise',
      'estimate',
    ]);
    expect(() => checkAlgorithm('ddim', { family: 'blur' })).toThrow('the degradation "blur" mixes in none');
    expect(() => checkAlgorithm('algorithm2', { family: 'blur' })).not.toThrow();
    const noise = createDegradation({ family: 'noise', steps: 3 }, { size: 8, channels: 1 });
    expect(() => checkAlgorithm('ddim', noise)).not.toThrow();
  });
});

describe('networks that say the next state', () => {
  it('go down one severity with each call and take no other sampler', () => {
    expect(stepsOf(planSeverities('step', 5, [3, 2, 1])).map((s) => [s.stepIndex, s.nextSeverity, s.update])).toEqual([
      [2, 2, 'estimate'],
      [1, 1, 'estimate'],
      [0, 0, 'estimate'],
    ]);
    expect(() => planSeverities('step', 8, [8, 4])).toThrow('cannot take 2 calls from severity 8');
    const blur = { family: 'blur' };
    for (const routine of ['Step', 'Step_Gradient', 'Gradient_norm'] as const) {
      expect(() => checkAlgorithm('step', blur, routine)).not.toThrow();
      expect(() => checkAlgorithm('algorithm2', blur, routine)).toThrow(`trainRoutine "${routine}"`);
    }
    expect(() => checkAlgorithm('step', blur, 'Final_random_mean')).toThrow('gives the clean image');
  });
});

describe('runSampler', () => {
  const degrade = (x: Float32Array, severity: number): Float32Array => x.map((value) => value * (1 - severity / 10));

  it('never degrades to severity 0 and does not touch its input', async () => {
    const start = Float32Array.of(1, 2);
    const severities: number[] = [];
    const result = await runSampler(planSampling({ algorithm: 'algorithm2', steps: 4 }), start, {
      restore: (x) => x.map((value) => value + 1),
      degrade: (x, severity) => {
        severities.push(severity);
        return degrade(x, severity);
      },
    });
    expect(severities).toEqual([4, 3, 3, 2, 2, 1, 1]);
    expect(start).toEqual(Float32Array.of(1, 2));
    expect(result).not.toEqual(start);
  });

  it('is traced from x_T to x_0; noise added to the start is taken off the end', async () => {
    const clean = Float32Array.of(0.5, -0.25, 0);
    const plan = planSampling({ algorithm: 'algorithm2', steps: 4 });
    const callbacks = { restore: (x: Float32Array) => x.map((value) => value / 2), degrade };
    const { states, estimates, final } = await traceSampler(plan, degrade(clean, 4), callbacks);
    expect([states.length, estimates.length]).toEqual([5, 4]);
    expect(states[0]).toEqual(degrade(clean, 4));
    expect(states[4]).toBe(final);
    expect(final).toEqual(await runSampler(plan, degrade(clean, 4), callbacks));
    estimates.forEach((estimate, k) => expect(estimate).toEqual(states[k]!.map((value) => value / 2)));
    const noise = Float32Array.of(0.001, -0.002, 0.003);
    const noisy = await traceSampler(plan, degrade(clean, 4), callbacks, noise);
    noisy.states[0]!.forEach((value, i) => expect(value).toBeCloseTo(states[0]![i]! + noise[i]!, 7));
    noisy.final.forEach((value, i) => expect(value).toBeCloseTo(noisy.states[4]![i]! - noise[i]!, 7));
    // A perfect network gives the clean image back, and with the noise taken off exactly that.
    const perfect = await traceSampler(plan, degrade(clean, 4), { restore: () => clean, degrade }, noise);
    perfect.final.forEach((value, i) => expect(value).toBeCloseTo(clean[i]!, 6));
  });

  it('algorithm 2 adds in a fixed order in float32', () => {
    const [x, a, b] = [Float32Array.of(1e8), Float32Array.of(1e8), Float32Array.of(0.5)];
    expect(algorithm2Update(x, a, b)).toEqual(Float32Array.of(0.5));
  });

  it('a perfect restoration gives the clean image with every algorithm', async () => {
    const clean = Float32Array.of(0.25, -0.5, 1);
    for (const algorithm of ['algorithm1', 'algorithm2', 'direct'] as const) {
      const restored = await runSampler(planSampling({ algorithm, steps: 6, count: 3 }), degrade(clean, 6), {
        restore: () => clean,
        degrade,
      });
      restored.forEach((value, i) => expect(value).toBeCloseTo(clean[i]!, 6));
    }
  });
});
