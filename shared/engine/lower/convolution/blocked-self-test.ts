import type {
  ConvolutionAttributes,
  EngineDescription,
  Program,
  TensorData,
  TracedGraph,
  TracedNode,
  TracedValue,
} from '../../types.js';
import { lower } from '../lower.js';
import { plainOptions } from '../options.js';

/** Runs a program without weights once, on the provider that will run all others. Rejects where it does not load. */
export type RunProgram = (
  program: Program,
  inputs: Readonly<Record<string, Float32Array>>,
) => Promise<Readonly<Record<string, TensorData>>>;

export type BlockedConvOutcome = EngineDescription['blockedConv'];

const [batch, height, width, channels] = [2, 9, 11, 32];
const image = [batch, height, width, channels];
const filter = [7, 7, channels, 1];

/** A depthwise convolution and both gradients (of the filter with the convolution's result as dy), written down as if recorded. */
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
  const convolution = (id: number, op: string, inputs = [0, 1]): TracedNode => ({
    id,
    op,
    inputs,
    attributes: { ...attributes },
    outputs: [2 + id],
  });
  const computed = (node: number, shape = image): TracedValue => ({
    id: 2 + node,
    shape,
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
      computed(2, filter),
    ],
    nodes: [
      convolution(0, 'DepthwiseConv2dNative'),
      convolution(1, 'DepthwiseConv2dNativeBackpropInput'),
      convolution(2, 'DepthwiseConv2dNativeBackpropFilter', [0, 2]),
    ],
    outputs: { forward: 2, gradient: 3, filterGradient: 4 },
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

/** Largest deviation, infinite where something is missing or not a number. */
function deviation(actual: TensorData | undefined, expected: TensorData | undefined): number {
  if (actual === undefined || expected === undefined || actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
  }
  return worst;
}

const outputs = ['forward', 'gradient', 'filterGradient'];
/** Results are sums of 49 products, or of 198 for the filter; a wrong order of channels is wrong by tenths. */
const tolerance = 1e-5;

/**
 * Finds out whether blocked convolutions may be used, and with which block size: the one whose results equal those of
 * plain ONNX. Off where none does or the provider has none. Deterministic for a package version and processor; the
 * answer belongs into the engine's fingerprint (it does so by the digest of every graph lowered with it).
 */
export async function blockedConvSelfTest(run: RunProgram): Promise<BlockedConvOutcome> {
  const inputs = { image: values(image, 1), filter: values(filter, 2) };
  const expected = await run(lower(probe(), plainOptions), inputs);
  const problems: string[] = [];
  for (const blockSize of [8, 16] as const) {
    try {
      const actual = await run(lower(probe(), { ...plainOptions, capabilities: { blockedConv: blockSize } }), inputs);
      const worst = Math.max(...outputs.map((name) => deviation(actual[name], expected[name])));
      if (worst <= tolerance)
        return { blockSize, reason: `blocks of ${blockSize} channels equal plain convolutions to ${tolerance}` };
      problems.push(`blocks of ${blockSize} are wrong by ${worst.toPrecision(2)}`);
    } catch (error) {
      problems.push(`blocks of ${blockSize} do not run: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return { blockSize: false, reason: problems.join('; ') };
}
