import type { RunConfig } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';
import type { Layout } from '@thaw/trainer';

export interface Training {
  readonly run: RunConfig;
  readonly lanes: number;
  readonly layout: Layout;
  initialWeights(): Float32Array;
  nextVersion(): number;
  compute(
    step: number,
    lane: number,
    weights: Float32Array,
    weightsVersion: number,
  ): Promise<{ loss: number; gradient: Float32Array }>;
  close(): Promise<void>;
}
export interface Trained {
  readonly losses: number[];
  readonly weights: Float32Array;
}
export interface CurveWindow {
  readonly fromStep: number;
  readonly throughStep: number;
  readonly fp32: number[];
  readonly fixedPoint: number[];
  readonly control?: number[];
  readonly controlRms?: number;
  readonly insideOfControl?: number;
  readonly inside: number;
  readonly spread: number;
  readonly difference: number;
  readonly differenceRms: number;
  readonly meanDifference: number;
}
export function openTraining(run: RunConfig, store: ObjectStore, options?: { workers?: number }): Promise<Training>;
export function trainInFixedPoint(training: Training, steps: number): Promise<Trained>;
export function trainInFp32(training: Training, steps: number, order?: { fromLastLane?: boolean }): Promise<Trained>;
export function compareCurves(
  curves: readonly {
    readonly fp32: readonly number[];
    readonly fixedPoint: readonly number[];
    readonly fp32FromLastLane?: readonly number[];
  }[],
  windowSteps: number,
): CurveWindow[];
export function withinSpread(windows: readonly CurveWindow[]): {
  readonly within: boolean;
  readonly inside: number;
  readonly insideOfControl: number | undefined;
  readonly expected: number;
  readonly of: number;
};
