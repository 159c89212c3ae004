import type { OnnxNode } from '../onnx/index.js';

/**
 * The order in which ONNX Runtime executes the nodes of a graph (its default order; `GraphViewer` and `Graph::ReverseDFSFrom`): depth
 * first, backwards, beginning with the last node in the file that nobody reads; of a node's inputs, what was made last in the file
 * comes first. What its optimisers fuse or remove is not known here.
 */
export function executionOrder(nodes: readonly OnnxNode[]): OnnxNode[] {
  const makers = new Map<string, number>();
  nodes.forEach((node, index) => node.outputs.forEach((output) => makers.set(output, index)));
  const before = nodes.map((node) => {
    const indices = new Set(node.inputs.flatMap((input) => makers.get(input) ?? []));
    return [...indices].sort((a, b) => a - b);
  });
  const read = new Set(before.flat());
  const order: OnnxNode[] = [];
  const entered = new Uint8Array(nodes.length);
  const pending: { readonly index: number; readonly leave: boolean }[] = [];
  nodes.forEach((_, index) => {
    if (!read.has(index)) pending.push({ index, leave: false });
  });
  for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
    const { index, leave } = top;
    if (leave) {
      order.push(nodes[index]!);
      continue;
    }
    if (entered[index] === 1) continue;
    entered[index] = 1;
    pending.push({ index, leave: true });
    for (const input of before[index]!) if (entered[input] === 0) pending.push({ index: input, leave: false });
  }
  return order;
}
