/** Computes lanes on an engine: images, draws and weights in; loss and gradients out. */
import {
  degradationOf,
  tableInputs,
  trainingInputs,
  trainingProgram,
  type Degradation,
  type TrainingImages,
} from '@thaw/shared/diffusion';
import {
  openEngine,
  probeFingerprint,
  type Compiled,
  type Engine,
  type Fingerprint,
  type ProbedProgram,
  type StoredWeight,
} from '@thaw/shared/engine';
import type { EngineName, Recompute, RunConfig } from '@thaw/shared/protocol';
import { plainKernels, probeKernels, type ArrayKernels } from '../kernels/index.js';

export interface LaneResult {
  /** Mean loss of the lane. */
  readonly loss: number;
  /** By weight name, flat, in stored order; the caller owns them. */
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

export class LaneEngine {
  readonly engine: Engine;
  readonly degradation: Degradation;
  readonly #run: RunConfig;
  readonly #program: Compiled;
  readonly #tables: Readonly<Record<string, Float32Array>>;

  private constructor(run: RunConfig, engine: Engine, program: Compiled, degradation: Degradation) {
    this.#run = run;
    this.engine = engine;
    this.#program = program;
    this.degradation = degradation;
    this.#tables = tableInputs(degradation);
  }

  /**
   * Traces and compiles the run's training step.
   * @param recompute changes memory and time, not the bits: trainers of one run may differ in it
   * @throws ThawError THAW_ENGINE_UNAVAILABLE, THAW_CONFIG_INVALID
   */
  static async open(
    run: RunConfig,
    kind: EngineName,
    workers: number,
    recompute: Recompute = 'none',
  ): Promise<LaneEngine> {
    const engine = await openEngine({ kind, workers });
    try {
      const degradation = degradationOf(run);
      const program = await engine.load(trainingProgram(run, run.batch.micro, degradation), { recompute });
      return new LaneEngine(run, engine, program, degradation);
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** How the trained state keeps each weight: the order that the compiled graph wants. */
  get weights(): readonly StoredWeight[] {
    return this.#program.weights;
  }

  /**
   * Names the engine and measures it on the run's own training step; and the kernels of the optimizer.
   * @throws ThawError THAW_ENGINE_NOT_DETERMINISTIC
   */
  fingerprint(kernels: ArrayKernels = plainKernels): Promise<Fingerprint> {
    const { steps } = this.degradation;
    const training: ProbedProgram = {
      compiled: this.#program,
      probeInput: (name, size, stream) =>
        name === 'severity' ? Int32Array.from({ length: size }, () => 1 + stream.below(steps)) : this.#tables[name],
    };
    return probeFingerprint(this.engine, [training], { 'probe optimizer': probeKernels(kernels, this.#run.optimizer) });
  }

  /**
   * @param images of the lane at this step, in order
   * @param weights by name, stored order; must not change until the result is in
   * @param into arrays for the gradients, by weight name; taken over, and given back as the result's
   */
  async compute(
    step: number,
    lane: number,
    images: TrainingImages,
    weights: Readonly<Record<string, Float32Array>>,
    signal: AbortSignal,
    into: Readonly<Record<string, Float32Array>> = {},
  ): Promise<LaneResult> {
    const inputs = { ...trainingInputs(this.#run, this.degradation, step, lane, images), ...this.#tables };
    const places = Object.fromEntries(Object.entries(into).map(([name, array]) => [`grad/${name}`, array]));
    // The weights of a step are one version: each worker copies them at most once for all its lanes.
    const outputs = await this.#program.run({ weights, inputs, signal, weightsVersion: step, into: places });
    const gradients: Record<string, Float32Array> = {};
    for (const { name } of this.#program.weights) gradients[name] = outputs[`grad/${name}`] as Float32Array;
    return { loss: (outputs.loss as Float32Array)[0]!, gradients };
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}
