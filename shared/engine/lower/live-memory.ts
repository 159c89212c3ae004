import type { OnnxNode } from '../onnx/index.js';
import { executionOrder } from './execution-order.js';

/** Bytes that a run of a graph holds beside its weights, inputs and constants, by reckoning. */
export interface LiveMemory {
  /** Alive at once at most, results included as far as they are computed then. */
  readonly peakBytes: number;
  /** Name of the node that is computed at the peak. */
  readonly peakNode: string;
  /** All results. */
  readonly resultBytes: number;
}

/**
 * Reckons what ONNX Runtime holds while it runs a graph: a tensor from the node that computes it to its last reader, a result to the end.
 * A Reshape is a view, unless it is a result.
 * @param bytesOf size of a tensor that a node computes
 */
export function liveMemory(
  nodes: readonly OnnxNode[],
  results: readonly string[],
  bytesOf: (tensor: string) => number,
): LiveMemory {
  const order = executionOrder(nodes);
  const last = new Set(results);
  const views = new Map<string, string>();
  const buffer = (tensor: string): string => views.get(tensor) ?? tensor;
  const isView = ({ op, outputs: [result] }: OnnxNode): boolean => op === 'Reshape' && !last.has(result!);
  const lastReader = new Map<string, number>();
  order.forEach((node, at) => {
    if (isView(node)) views.set(node.outputs[0]!, buffer(node.inputs[0]!));
    for (const input of node.inputs) lastReader.set(buffer(input), at);
  });
  results.forEach((result) => lastReader.set(result, Infinity));

  const alive = new Map<string, number>();
  let bytes = 0;
  let [peakBytes, peakNode] = [0, ''];
  order.forEach((node, at) => {
    for (const output of node.outputs.filter((name) => !views.has(name))) {
      alive.set(output, bytesOf(output));
      bytes += bytesOf(output);
    }
    if (bytes > peakBytes) [peakBytes, peakNode] = [bytes, node.name];
    for (const tensor of new Set([...node.inputs, ...node.outputs].map(buffer))) {
      if ((lastReader.get(tensor) ?? at) > at) continue;
      bytes -= alive.get(tensor) ?? 0;
      alive.delete(tensor);
    }
  });
  return { peakBytes, peakNode, resultBytes: results.reduce((sum, result) => sum + bytesOf(result), 0) };
}
