/** Parameters of the layers that networks are built of: shapes, layouts and PyTorch's default initialisation. */
import type { Initialisation, ParameterSpec } from './layout.js';

export type Specs = Record<string, ParameterSpec>;

export const uniform = (fanIn: number): Initialisation => ({ kind: 'uniform', fanIn });
export const constant = (value: number): Initialisation => ({ kind: 'constant', value });
export const vector = (length: number, initial: Initialisation): ParameterSpec => ({
  modelShape: [length],
  officialShape: [length],
  officialPermutation: [0],
  initial,
});

/** `<name>.weight` [kernel, kernel, inputs, outputs] and, unless refused, `<name>.bias`. */
export function convolution(
  specs: Specs,
  name: string,
  kernel: number,
  inputs: number,
  outputs: number,
  bias = true,
  start?: Initialisation,
): void {
  const initial = start ?? uniform(inputs * kernel * kernel);
  specs[`${name}.weight`] = {
    modelShape: [kernel, kernel, inputs, outputs],
    officialShape: [outputs, inputs, kernel, kernel],
    officialPermutation: [3, 2, 0, 1],
    initial,
  };
  if (bias) specs[`${name}.bias`] = vector(outputs, initial);
}

export function depthwise(specs: Specs, name: string, kernel: number, channels: number): void {
  const initial = uniform(kernel * kernel);
  specs[`${name}.weight`] = {
    modelShape: [kernel, kernel, channels, 1],
    officialShape: [channels, 1, kernel, kernel],
    officialPermutation: [2, 3, 0, 1],
    initial,
  };
  specs[`${name}.bias`] = vector(channels, initial);
}

export function transposedConvolution(
  specs: Specs,
  name: string,
  kernel: number,
  inputs: number,
  outputs: number,
): void {
  const initial = uniform(outputs * kernel * kernel);
  specs[`${name}.weight`] = {
    modelShape: [kernel, kernel, outputs, inputs],
    officialShape: [inputs, outputs, kernel, kernel],
    officialPermutation: [3, 2, 0, 1],
    initial,
  };
  specs[`${name}.bias`] = vector(outputs, initial);
}

export function linear(specs: Specs, name: string, inputs: number, outputs: number): void {
  const initial = uniform(inputs);
  specs[`${name}.weight`] = {
    modelShape: [inputs, outputs],
    officialShape: [outputs, inputs],
    officialPermutation: [1, 0],
    initial,
  };
  specs[`${name}.bias`] = vector(outputs, initial);
}

/** Gain and shift of a group norm. */
export function groupNorm(specs: Specs, name: string, channels: number): void {
  specs[`${name}.weight`] = vector(channels, constant(1));
  specs[`${name}.bias`] = vector(channels, constant(0));
}
