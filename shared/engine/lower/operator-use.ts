import type { OnnxDataType, OnnxNode } from '../onnx/index.js';

/** An operator of a lowered graph with the types that it is used with. */
export interface OperatorUse {
  /** Name of the node; begins with the tfjs kernel that it is part of. */
  readonly node: string;
  readonly operator: string;
  /** '' = the standard operators. */
  readonly domain: string;
  readonly inputs: readonly OnnxDataType[];
  readonly output: OnnxDataType;
}

export const operatorUse = (
  { name, op, domain, inputs, outputs }: OnnxNode,
  typeOf: (tensor: string) => OnnxDataType,
): OperatorUse => ({
  node: name,
  operator: op,
  domain,
  inputs: inputs.map(typeOf),
  output: typeOf(outputs[0]!),
});

/** The tfjs kernel behind a node of a lowered graph: lowering names nodes `<kernel>.<value>/<operator>.<number>`. */
export function kernelOfNode(name: string): string | undefined {
  return /^([A-Za-z0-9_]+)(?:\.\d+)?\//.exec(name)?.[1];
}
