import type { SimplifiedGraph, Value } from '../graph/index.js';

const withBias = ['Conv2D', 'DepthwiseConv2dNative', 'Conv2DBackpropInput'];

export interface FusedBiases {
  /** Convolution -> its bias. */
  readonly biasOf: ReadonlyMap<Value, Value>;
  /** Sum -> the convolution that computes it, bias included. */
  readonly sumOf: ReadonlyMap<Value, Value>;
  /** Convolutions that are lowered when their sum is reached. */
  readonly absorbed: ReadonlySet<Value>;
}

/** Finds convolutions whose only use is to have a vector of channels added: the convolution adds it itself. */
export function fuseBiases(graph: SimplifiedGraph): FusedBiases {
  const outputs = new Set(Object.values(graph.outputs));

  const biasOf = new Map<Value, Value>();
  const sumOf = new Map<Value, Value>();
  for (const value of graph.values) {
    if (value.op !== 'Add') continue;
    const [a, b] = value.inputs as readonly [Value, Value];
    for (const [convolution, bias] of [
      [a, b],
      [b, a],
    ] as const) {
      const fits =
        withBias.includes(convolution.op) &&
        graph.users.get(convolution)!.length === 1 &&
        !outputs.has(convolution) &&
        bias.shape.length === 1 &&
        bias.op === 'Input';
      if (!fits || bias.shape[0] !== convolution.shape[3] || sumOf.has(value)) continue;
      biasOf.set(convolution, bias);
      sumOf.set(value, convolution);
    }
  }
  return { biasOf, sumOf, absorbed: new Set(biasOf.keys()) };
}
