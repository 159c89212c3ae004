import * as tf from '@tensorflow/tfjs-core';
import {
  conv2DBackpropFilter,
  conv2DBackpropInput,
  depthwiseBackpropFilter,
  depthwiseBackpropInput,
} from './convolution.js';
import { unsortedSegmentSum } from './segment.js';
import { UnsupportedByKernel, type KernelFunction } from './table.js';

/** What training needs and tfjs-backend-wasm 4.22 lacks, written with the kernels that it has. */
const missingInWasm: Readonly<Record<string, KernelFunction>> = {
  Conv2DBackpropFilter: conv2DBackpropFilter,
  DepthwiseConv2dNativeBackpropInput: depthwiseBackpropInput,
  DepthwiseConv2dNativeBackpropFilter: depthwiseBackpropFilter,
  UnsortedSegmentSum: unsortedSegmentSum,
};

/** Kernels that the backend has, replaced because its own are many times slower. */
const fasterInWasm: Readonly<Record<string, KernelFunction>> = { Conv2DBackpropInput: conv2DBackpropInput };

/** Completes the wasm backend of this process. */
export function registerWasmKernels(backendName: string): void {
  for (const [kernelName, kernel] of Object.entries(missingInWasm))
    if (tf.getKernel(kernelName, backendName) === undefined) register(kernelName, backendName, kernel);
  for (const [kernelName, kernel] of Object.entries(fasterInWasm)) {
    tf.unregisterKernel(kernelName, backendName);
    register(kernelName, backendName, kernel);
  }
}

function register(kernelName: string, backendName: string, kernel: KernelFunction): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs }) =>
      tf.tidy(() => kernel(inputs as Record<string, tf.Tensor | undefined>, attrs ?? {})),
  });
}

export { UnsupportedByKernel };
