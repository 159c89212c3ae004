/** A simple driver of the sampling plans, for tests, tools and single images. Arrays hold whole images, any number of them. */
import type { SamplingPlan, SamplingStep } from './plan.js';
import { samplingStep } from './plan.js';

type Images = Float32Array;
type Eventually<T> = T | Promise<T>;

export interface SamplerCallbacks {
  /** R(x, t) for every image. */
  restore(x: Images, stepIndex: number): Eventually<Images>;
  /** D(x0, s) for every image, with the context that made the start image; never called with s = 0. */
  degrade(x0: Images, severity: number): Eventually<Images>;
  /** x_s' with estimated noise ({@link Degradation.estimateNext}); needed for ddim only. */
  estimateNext?(x: Images, estimate: Images, severity: number, nextSeverity: number): Eventually<Images>;
  /** Sees the state before each update and the estimate; must not change them. */
  onStep?(step: SamplingStep, x: Images, estimate: Images): void;
}

/** x_s - D(x̂, s) + D(x̂, s') in float32, in this order. */
export function algorithm2Update(x: Images, degraded: Images, degradedNext: Images): Images {
  return x.map((value, i) => Math.fround(value - degraded[i]!) + degradedNext[i]!);
}

/** Runs a plan from x_T to x_0. The arrays given are not changed. */
export async function runSampler(plan: SamplingPlan, start: Images, callbacks: SamplerCallbacks): Promise<Images> {
  const degrade = async (x0: Images, severity: number): Promise<Images> =>
    severity === 0 ? x0 : callbacks.degrade(x0, severity);
  let x = start;
  for (let position = 0; ; position++) {
    const step = samplingStep(plan, position);
    if (step === undefined) return x;
    const estimate = await callbacks.restore(x, step.stepIndex);
    callbacks.onStep?.(step, x, estimate);
    if (step.update === 'estimate') x = estimate;
    else if (step.update === 'renoise') {
      if (callbacks.estimateNext === undefined) throw new Error('ddim needs estimateNext');
      x = await callbacks.estimateNext(x, estimate, step.severity, step.nextSeverity);
    } else if (step.update === 'degrade-estimate') x = await degrade(estimate, step.nextSeverity);
    else x = algorithm2Update(x, await degrade(estimate, step.severity), await degrade(estimate, step.nextSeverity));
  }
}
