import type { ConvolutionAttributes, TracedGraph, TracedNode, TracedValue } from '../../types.js';
import { lower } from '../lower.js';
import { plainOptions } from '../options.js';
import type { BlockSize } from '../options.js';

/** Runs an ONNX file once on the provider that will run the programs. Rejects where the file does not load. */
export type RunOnnx = (
  onnx: Uint8Array,
  feeds: Readonly<Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>>,
) => Promise<Readonly<Record<string, Float32Array>>>;

const [batch, height, width, channels] = [2, 9, 11, 32];
const image = [batch, height, width, channels];
const filter = [7, 7, channels, 1];

/** A depthwise convolution and its input gradient, written down as if recorded. */
function probe(): TracedGraph {
  const attributes: ConvolutionAttributes = {
    filterSize: [7, 7],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [3, 3, 3, 3],
    inputShape: image,
    filterShape: filter,
    outputShape: image,
  };
  const convolution = (id: number, op: string): TracedNode => ({
    id,
    op,
    inputs: [0, 1],
    attributes: { ...attributes },
    outputs: [2 + id],
  });
  const computed = (node: number): TracedValue => ({
    id: 2 + node,
    shape: image,
    dtype: 'float32',
    source: { kind: 'node', node, port: 0 },
  });
  return {
    name: 'blocked-convolution-self-test',
    values: [
      { id: 0, shape: image, dtype: 'float32', source: { kind: 'input', name: 'image' } },
      { id: 1, shape: filter, dtype: 'float32', source: { kind: 'input', name: 'filter' } },
      computed(0),
      computed(1),
    ],
    nodes: [convolution(0, 'DepthwiseConv2dNative'), convolution(1, 'DepthwiseConv2dNativeBackpropInput')],
    outputs: { forward: 2, gradient: 3 },
  };
}

/** Values without symmetry, so that any exchange of channels, pixels or taps shows. */
const values = (shape: readonly number[], seed: number): Float32Array => {
  let state = seed;
  return Float32Array.from({ length: shape.reduce((product, d) => product * d, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  });
};

const close = (a: Float32Array | undefined, b: Float32Array | undefined): boolean =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) <= 1e-5);

/**
 * Finds out whether blocked convolutions may be used, and with which block size: the one whose results equal those of
 * plain ONNX. False where none does or the provider has none. Deterministic for a package version and processor; the
 * answer belongs into the engine's fingerprint (it does so by the digest of every graph lowered with it).
 */
export async function blockedConvSelfTest(run: RunOnnx): Promise<BlockSize> {
  const feeds = {
    image: { data: values(image, 1), shape: image },
    filter: { data: values(filter, 2), shape: filter },
  };
  const expected = await run(lower(probe(), plainOptions).onnx, feeds);
  for (const blockedConv of [8, 16] as const) {
    try {
      const actual = await run(lower(probe(), { ...plainOptions, capabilities: { blockedConv } }).onnx, feeds);
      if (close(actual['forward'], expected['forward']) && close(actual['gradient'], expected['gradient']))
        return blockedConv;
    } catch {
      // The provider does not know the domain: nothing to use.
    }
  }
  return false;
}
