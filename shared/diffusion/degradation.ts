/** What every degradation is to the rest of Thaw. See docs and Bansal et al. 2022: D(x, 0) = x, D(x, T) fully degraded. */
import type { Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../engine/index.js';
import type { DrawPurpose, RandomStream } from '../runtime/index.js';
import type { NetworkSpace } from './colour-space.js';

/** The square images that a degradation is made for. */
export interface ImageGeometry {
  /** Edge, pixels. */
  readonly size: number;
  readonly channels: number;
}

/** A constant of a run, row-major float32; computed once in float64 from exact arithmetic, an input of every graph that degrades. */
export interface Table {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

type ContextPurpose = Extract<DrawPurpose, 'degradation' | 'degradation-among'>;

/** One image among those in a row that choices are dealt out to. */
export interface PlaceAmong {
  /** From 0. */
  readonly place: number;
  /** The same for all of them; nothing has been drawn from it. */
  readonly stream: RandomStream;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** For the dashboard. */
export interface DegradationDescription {
  readonly family: string;
  readonly steps: number;
  /** One sentence in plain words, parameters included. */
  readonly summary: string;
}

/**
 * One degradation operator for one image geometry. The cost of `apply` does not depend on the severity, and every image of a
 * batch has its own. Nothing here reads a tensor's values, so all of it can be traced.
 */
export interface Degradation {
  readonly family: string;
  /** T: severities run from 0 (clean) to T. */
  readonly steps: number;
  readonly geometry: ImageGeometry;
  readonly tables: Readonly<Record<string, Table>>;
  /** The random choices made once per image and shared by degradation and sampler; shapes without the batch axis. */
  readonly contextSpecs: Readonly<Record<string, TensorSpec>>;
  /** The data set of the second images, for a degradation that mixes in pictures; its context needs one. */
  readonly partners?: string;
  /** Images in a row that get the context of the first of them; 1 unless given. */
  readonly sharedBy?: number;
  /** Images in a row among which choices are dealt out; 1 unless given. */
  readonly dealtAmong?: number;
  /**
   * Draws the context of one image.
   * @param partner a picture of {@link partners}, [H, W, C] in [-1, 1]; needed where there are partners, ignored elsewhere
   * @param among the image's place among those of {@link dealtAmong}, and the stream of the first of them; needed where there are more than one
   */
  drawContext(stream: RandomStream, partner?: Float32Array, among?: PlaceAmong): Record<string, Float32Array>;
  /**
   * D(x0, s).
   * @param x0 [B, H, W, C] in [-1, 1]
   * @param severity [B] int32 in 0..T; D(x, 0) = x exactly
   * @param tables the tensors of {@link tables}
   * @param context the tensors of {@link contextSpecs}, batch axis first
   * @returns [B, H, W, C]
   */
  apply(x0: Tensor4D, severity: Tensor1D, tables: Tensors, context: Tensors): Tensor4D;
  /** What the network sees in training; the same as `apply` unless the official training differs (`discrete`: 8 bits). */
  applyInTraining(x0: Tensor4D, severity: Tensor1D, tables: Tensors, context: Tensors): Tensor4D;
  /**
   * x_s' with the second image of the mixture estimated from x_s and x̂0 instead of known ("estimated noise", official `ddim`).
   * Only families that mix two images have it.
   * @param x x_s [B, H, W, C], `severity` s in 1..T, `nextSeverity` s' [B] int32 in 0..s - 1
   */
  readonly estimateNext?: (
    x: Tensor4D,
    restored: Tensor4D,
    severity: Tensor1D,
    nextSeverity: Tensor1D,
    tables: Tensors,
  ) => Tensor4D;
  /** The space in which the network sees images, in which states are added and losses measured; RGB in [-1, 1] unless given. */
  readonly networkSpace?: NetworkSpace;
  /** Whether x_T is truncated to 8 bits before sampling starts ({@link truncateTo8Bits}). */
  readonly truncateStart: boolean;
  describe(): DegradationDescription;
}

/** Truncation (not rounding) to 8 bits of values in [-1, 1]. */
export const truncateTo8Bits = (x: Tensor4D): Tensor4D =>
  tf.sub(tf.mul(tf.div(tf.floor(tf.relu(tf.mul(tf.mul(tf.add(x, 1), 0.5), 255))), 255), 2), 1);

/**
 * The context of the image at `position` of a row of images, by {@link Degradation.sharedBy} and {@link Degradation.dealtAmong}.
 * @param streamOf a new stream for the image at a position, of one of two purposes
 */
export function contextAt(
  degradation: Pick<Degradation, 'sharedBy' | 'dealtAmong' | 'drawContext'>,
  position: number,
  streamOf: (position: number, purpose: ContextPurpose) => RandomStream,
  partner?: Float32Array,
): Record<string, Float32Array> {
  const { sharedBy = 1, dealtAmong = 1 } = degradation;
  const first = position - (position % dealtAmong);
  const among =
    dealtAmong === 1 ? undefined : { place: position - first, stream: streamOf(first, 'degradation-among') };
  return degradation.drawContext(streamOf(position - (position % sharedBy), 'degradation'), partner, among);
}

/** A named tensor, or an error that names it (a bug in the caller). */
export function required<T extends Tensor>(tensors: Tensors, name: string): T {
  const value = tensors[name];
  if (value === undefined) throw new Error(`the degradation needs the tensor ${name}`);
  return value as T;
}
