import { backend_util } from '@tensorflow/tfjs-core';
import type { NamedAttrMap } from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import type { ConvolutionAttributes } from '../../types.js';
import type { KernelTable } from '../kernel.js';

type Shape4D = [number, number, number, number];

function geometry(
  inputShape: readonly number[],
  filterShape: readonly number[],
  attributes: NamedAttrMap,
  depthwise: boolean,
): ConvolutionAttributes & Record<string, unknown> {
  const dataFormat = (attributes['dataFormat'] as string | undefined) ?? 'NHWC';
  if (dataFormat !== 'NHWC')
    throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `a convolution in ${dataFormat} cannot be traced`, {
      cure: 'Use NHWC, the default of tfjs: the engine chooses the layout in memory itself.',
    });
  const info = backend_util.computeConv2DInfo(
    inputShape as Shape4D,
    filterShape as Shape4D,
    attributes['strides'] as [number, number],
    (attributes['dilations'] as [number, number] | undefined) ?? 1,
    attributes['pad'] as 'same',
    attributes['dimRoundingMode'] as 'floor' | undefined,
    depthwise,
  );
  const { top, left, bottom, right } = info.padInfo;
  return {
    filterSize: [info.filterHeight, info.filterWidth],
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    pads: [top, left, bottom, right],
    inputShape: [...inputShape],
    filterShape: [...filterShape],
    outputShape: [...info.outShape],
  };
}

function family(op: 'Conv2D' | 'DepthwiseConv2dNative', depthwise: boolean): KernelTable {
  return {
    [op]: ({ inputs, attributes, recording }) => {
      const [x, filter] = [inputs['x']!, inputs['filter']!];
      const attrs = geometry(x.shape, filter.shape, attributes, depthwise);
      return recording.node(op, [x, filter], attrs, attrs.outputShape, x.dtype);
    },
    [`${op}BackpropInput`]: ({ inputs, attributes, recording }) => {
      const [dy, filter] = [inputs['dy']!, inputs['filter']!];
      const attrs = geometry(attributes['inputShape'] as number[], filter.shape, attributes, depthwise);
      return recording.node(`${op}BackpropInput`, [dy, filter], attrs, attrs.inputShape, dy.dtype);
    },
    [`${op}BackpropFilter`]: ({ inputs, attributes, recording }) => {
      const [x, dy] = [inputs['x']!, inputs['dy']!];
      const attrs = geometry(x.shape, attributes['filterShape'] as number[], attributes, depthwise);
      return recording.node(`${op}BackpropFilter`, [x, dy], attrs, attrs.filterShape, dy.dtype);
    },
  };
}

function pooling(
  inputShape: readonly number[],
  attributes: NamedAttrMap,
): Record<string, unknown> & { outputShape: number[] } {
  const info = backend_util.computePool2DInfo(
    inputShape as Shape4D,
    attributes['filterSize'] as [number, number],
    attributes['strides'] as [number, number],
    1,
    attributes['pad'] as 'same',
    attributes['dimRoundingMode'] as 'floor' | undefined,
  );
  const { top, left, bottom, right } = info.padInfo;
  return {
    filterSize: [info.filterHeight, info.filterWidth],
    strides: [info.strideHeight, info.strideWidth],
    dilations: [1, 1],
    pads: [top, left, bottom, right],
    inputShape: [...inputShape],
    outputShape: [...info.outShape],
  };
}

export const convolutionKernels: KernelTable = {
  ...family('Conv2D', false),
  ...family('DepthwiseConv2dNative', true),
  AvgPool: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const attrs = pooling(x.shape, attributes);
    return recording.node('AvgPool', [x], attrs, attrs.outputShape, x.dtype);
  },
  AvgPoolGrad: ({ inputs, attributes, recording }) => {
    const [dy, x] = [inputs['dy']!, inputs['input']!];
    return recording.node('AvgPoolGrad', [dy], pooling(x.shape, attributes), x.shape, x.dtype);
  },
};
