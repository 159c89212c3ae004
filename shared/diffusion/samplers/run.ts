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

/**
 * All of a trajectory. The official tracing samplers return parts of it: blur and super-resolution x_T .. x_1 (blur also x_0), masks, snow
 * and decolorization x_{T-1} .. x_0; each with the estimates.
 */
export interface SamplingTrace {
  /** x_T .. x_0, one more than the calls. */
  readonly states: readonly Images[];
  /** R(x_s, s - 1) of every call. */
  readonly estimates: readonly Images[];
  /** x_0, less the noise where there was some. */
  readonly final: Images;
}

/**
 * {@link runSampler} with everything on the way.
 * @param noise added to the start and taken off the final image again, as the official tracing sampler of blurs does with deviation 0.001
 */
export async function traceSampler(
  plan: SamplingPlan,
  start: Images,
  callbacks: SamplerCallbacks,
  noise?: Images,
): Promise<SamplingTrace> {
  const states: Images[] = [];
  const estimates: Images[] = [];
  const from = noise === undefined ? start : start.map((value, i) => value + noise[i]!);
  const last = await runSampler(plan, from, {
    ...callbacks,
    onStep(step, x, estimate) {
      states.push(x);
      estimates.push(estimate);
      callbacks.onStep?.(step, x, estimate);
    },
  });
  const final = noise === undefined ? last : last.map((value, i) => value - noise[i]!);
  return { states: [...states, last], estimates, final };
}
