/**
 * The programs that an engine compiles for a run. Tables and contexts are inputs named
 * `table/<name>` and `context/<name>`, in training also dropout masks `dropout/<block>` and draws of the routine `target/<name>`.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { ProgramDefinition, TensorSpec } from '../engine/index.js';
import { dropoutShapes, network, networkWeightSpecs } from '../model/index.js';
import type { RunConfig } from '../protocol/index.js';
import { networkSpaceOf } from './colour-space.js';
import type { Degradation, Tensors } from './degradation.js';
import { createDegradation } from './registry.js';
import { targetShapes, trainingLoss } from './loss.js';

type Specs = Readonly<Record<string, TensorSpec>>;

const tablePrefix = 'table/';
const contextPrefix = 'context/';
const dropoutPrefix = 'dropout/';
const targetPrefix = 'target/';

const imagesSpec = (run: RunConfig, batch: number): TensorSpec => ({
  shape: [batch, run.data.size, run.data.size, run.data.channels],
  dtype: 'float32',
});
const indexSpec = (batch: number): TensorSpec => ({ shape: [batch], dtype: 'int32' });

/** The degradation that a run file asks for. Make it once and hand it to the functions below. */
export const degradationOf = (run: RunConfig): Degradation =>
  createDegradation(run.degradation, { size: run.data.size, channels: run.data.channels });

/** Specs of the network's weights in model layout, by official name. */
export const networkWeights = (run: RunConfig): Specs =>
  Object.fromEntries(
    Object.entries(networkWeightSpecs(run.network, run.data)).map(([name, spec]) => [
      name,
      { shape: spec.modelShape, dtype: 'float32' } satisfies TensorSpec,
    ]),
  );

function degradationInputs(degradation: Degradation, batch: number): Specs {
  const inputs: Record<string, TensorSpec> = {};
  for (const [name, table] of Object.entries(degradation.tables))
    inputs[tablePrefix + name] = { shape: table.shape, dtype: 'float32' };
  for (const [name, spec] of Object.entries(degradation.contextSpecs))
    inputs[contextPrefix + name] = { shape: [batch, ...spec.shape], dtype: spec.dtype };
  return inputs;
}

/** One tensor per row for each name. */
const rowSpecs = (prefix: string, shapes: Readonly<Record<string, readonly number[]>>, batch: number): Specs =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      prefix + name,
      { shape: [batch, ...shape], dtype: 'float32' } satisfies TensorSpec,
    ]),
  );

function withPrefix(inputs: Tensors, prefix: string): Record<string, tf.Tensor> {
  const chosen = Object.entries(inputs).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(chosen.map(([name, value]) => [name.slice(prefix.length), value]));
}

const tablesOf = (inputs: Tensors): Tensors => withPrefix(inputs, tablePrefix);
const contextOf = (inputs: Tensors): Tensors => withPrefix(inputs, contextPrefix);

/**
 * Loss and gradients of one micro-batch.
 * Inputs `x0` [B, H, W, C] float32 in [-1, 1], `severity` [B] int32 in 1..T, tables, contexts, dropout, targets. Outputs `loss`,
 * `grad/<weight>`.
 */
export function trainingProgram(
  run: RunConfig,
  microBatch: number,
  degradation = degradationOf(run),
): ProgramDefinition {
  const loss = trainingLoss(run, degradation);
  return {
    name: 'training',
    weights: networkWeights(run),
    inputs: {
      x0: imagesSpec(run, microBatch),
      severity: indexSpec(microBatch),
      ...degradationInputs(degradation, microBatch),
      ...rowSpecs(dropoutPrefix, dropoutShapes(run.network, run.data.size), microBatch),
      ...rowSpecs(targetPrefix, targetShapes(run.trainRoutine, run.data), microBatch),
    },
    fn: (weights, inputs) => ({
      loss: loss(weights, {
        x0: inputs.x0 as tf.Tensor4D,
        severity: inputs.severity as tf.Tensor1D,
        tables: tablesOf(inputs),
        context: contextOf(inputs),
        dropout: withPrefix(inputs, dropoutPrefix),
        target: withPrefix(inputs, targetPrefix),
      }),
    }),
    gradientOf: 'loss',
  };
}

/**
 * R(x, t). Inputs `x` [B, H, W, C], `t` [B] float32 (severity - 1). Output `restored` [B, H, W, C]: the estimate of x0; of the next
 * cleaner state for the routines Step, Step_Gradient (there the network gives what is to be added to x) and Gradient_norm (what is to
 * be taken off). Images are RGB on both sides, whatever space the network sees.
 */
export function restorationProgram(run: RunConfig, batch: number): ProgramDefinition {
  const space = networkSpaceOf(run.degradation);
  return {
    name: 'restoration',
    weights: networkWeights(run),
    inputs: { x: imagesSpec(run, batch), t: { shape: [batch], dtype: 'float32' } },
    fn: (weights, inputs) => {
      const x = space?.toNetwork(inputs.x as tf.Tensor4D) ?? (inputs.x as tf.Tensor4D);
      const restored = restoredBy(run.trainRoutine, x, network(weights, x, inputs.t as tf.Tensor1D, run.network));
      return { restored: space?.toImage(restored) ?? restored };
    },
  };
}

/** What the network's output for x means. */
function restoredBy(routine: RunConfig['trainRoutine'], x: tf.Tensor4D, output: tf.Tensor4D): tf.Tensor4D {
  if (routine === 'Step_Gradient') return tf.add(x, output);
  return routine === 'Gradient_norm' ? tf.sub(x, output) : output;
}

/** D(x0, s). Inputs `x0` [B, H, W, C], `severity` [B] int32 in 0..T, tables, contexts. Output `degraded`. */
export function degradationProgram(run: RunConfig, batch: number, degradation = degradationOf(run)): ProgramDefinition {
  return {
    name: 'degradation',
    weights: {},
    inputs: { x0: imagesSpec(run, batch), severity: indexSpec(batch), ...degradationInputs(degradation, batch) },
    fn: (_, inputs) => ({
      degraded: degradation.apply(
        inputs.x0 as tf.Tensor4D,
        inputs.severity as tf.Tensor1D,
        tablesOf(inputs),
        contextOf(inputs),
      ),
    }),
  };
}

/**
 * The update of Algorithm 2 (Bansal et al. 2022): x_s - D(x̂0, s) + D(x̂0, s'), s' = s - 1 on the full sequence; the sum is taken in the
 * network's space.
 * Inputs `x` (x_s) and `restored` (x̂0) [B, H, W, C], `severity` (s) and `nextSeverity` (s') [B] int32, tables, contexts.
 * Output `next` (x_s').
 */
export function algorithm2Program(run: RunConfig, batch: number, degradation = degradationOf(run)): ProgramDefinition {
  return {
    name: 'algorithm2',
    weights: {},
    inputs: {
      x: imagesSpec(run, batch),
      restored: imagesSpec(run, batch),
      severity: indexSpec(batch),
      nextSeverity: indexSpec(batch),
      ...degradationInputs(degradation, batch),
    },
    fn: (_, inputs) => {
      const restored = inputs.restored as tf.Tensor4D;
      const space = degradation.networkSpace;
      const seen = (image: tf.Tensor4D): tf.Tensor4D => space?.toNetwork(image) ?? image;
      const degrade = (severity: tf.Tensor): tf.Tensor4D =>
        seen(degradation.apply(restored, severity as tf.Tensor1D, tablesOf(inputs), contextOf(inputs)));
      const x = seen(inputs.x as tf.Tensor4D);
      const next = tf.add(tf.sub(x, degrade(inputs.severity!)), degrade(inputs.nextSeverity!)) as tf.Tensor4D;
      return { next: space?.toImage(next) ?? next };
    },
  };
}

/**
 * The update with estimated noise ({@link Degradation.estimateNext}); undefined for a degradation that has none.
 * Inputs `x` (x_s) and `restored` (x̂0) [B, H, W, C], `severity` (s) and `nextSeverity` (s') [B] int32, tables. Output `renoised` (x_s').
 */
export function estimatedNoiseProgram(
  run: RunConfig,
  batch: number,
  degradation = degradationOf(run),
): ProgramDefinition | undefined {
  const { estimateNext } = degradation;
  if (estimateNext === undefined) return undefined;
  return {
    ...algorithm2Program(run, batch, degradation),
    name: 'estimated-noise',
    fn: (_, inputs) => ({
      renoised: estimateNext(
        inputs.x as tf.Tensor4D,
        inputs.restored as tf.Tensor4D,
        inputs.severity as tf.Tensor1D,
        inputs.nextSeverity as tf.Tensor1D,
        tablesOf(inputs),
      ),
    }),
  };
}

/** The table inputs of a program call. The arrays are the degradation's own: read only. */
export const tableInputs = (degradation: Degradation): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(degradation.tables).map(([name, table]) => [tablePrefix + name, table.data]));

type Row = Readonly<Record<string, Float32Array>>;

function packedRows(prefix: string, names: readonly string[], rows: readonly Row[]): Record<string, Float32Array> {
  const inputs: Record<string, Float32Array> = {};
  for (const name of names) {
    const size = rows[0]![name]!.length;
    const packed = new Float32Array(size * rows.length);
    rows.forEach((row, i) => packed.set(row[name]!, i * size));
    inputs[prefix + name] = packed;
  }
  return inputs;
}

/** The context inputs of a program call: one context per row, packed row after row. */
export const contextInputs = (degradation: Degradation, contexts: readonly Row[]): Record<string, Float32Array> =>
  packedRows(contextPrefix, Object.keys(degradation.contextSpecs), contexts);

/** The draws of the routine of a training call: those of one image per row. */
export const targetInputs = (draws: readonly Row[]): Record<string, Float32Array> =>
  packedRows(targetPrefix, Object.keys(draws[0] ?? {}), draws);

/** The dropout inputs of a training call: the masks of one image per row. */
export const dropoutInputs = (masks: readonly Row[]): Record<string, Float32Array> =>
  packedRows(dropoutPrefix, Object.keys(masks[0] ?? {}), masks);
