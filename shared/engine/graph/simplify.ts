import type { TracedGraph } from '../types.js';
import { GraphBuilder, reachable } from './builder.js';
import { replayNode } from './replay.js';
import { sameShape } from './shape.js';
import type { Rule } from './rules/index.js';
import type { Value } from './value.js';

/** A traced graph after simplification: live values only, inputs before users. */
export interface SimplifiedGraph {
  readonly name: string;
  readonly values: readonly Value[];
  readonly outputs: Readonly<Record<string, Value>>;
  /** Who reads each live value, once per operand. */
  readonly users: ReadonlyMap<Value, readonly Value[]>;
  /** Weights and inputs in the order of the traced graph, those that nothing reads included. */
  readonly inputs: readonly Value[];
  /** Rewrites done, by rule. */
  readonly ruleHits: ReadonlyMap<string, number>;
}

/**
 * Replays a recorded graph through the smart constructors of a `GraphBuilder`: common subexpressions merge, the rules
 * simplify, and what no output needs is left out.
 *
 * @throws THAW_ENGINE_UNSUPPORTED_OP for a kernel that has no replay.
 */
export function simplify(graph: TracedGraph, rules?: readonly Rule[]): SimplifiedGraph {
  const builder = new GraphBuilder(rules);
  const replayed: Value[] = [];
  const inputs: Value[] = [];
  for (const { id, source, shape, dtype } of graph.values) {
    if (source.kind === 'node') continue;
    builder.origin = source.kind === 'constant' ? 'Constant' : 'Input';
    if (source.kind === 'constant') {
      const repeated = source.data.length === 1;
      replayed[id] = repeated
        ? builder.uniform(source.data[0]!, shape, dtype)
        : builder.constant(source.data, shape, dtype);
    } else {
      replayed[id] = builder.input(source.name, source.kind, shape, dtype);
      inputs.push(replayed[id]);
    }
  }
  for (const node of graph.nodes) {
    const operands = node.inputs.map((id) => replayed[id]!);
    const results = node.outputs.map((id) => graph.values[id]!);
    builder.origin = node.op;
    builder.segment = node.segment;
    const value = replayNode(builder, node.op, operands, node.attributes, results[0]!);
    if (results.length !== 1 || !sameShape(value.shape, results[0]!.shape)) {
      throw new Error(`replay of ${node.op} gave [${value.shape.join()}], recorded was [${results[0]!.shape.join()}]`);
    }
    replayed[node.outputs[0]!] = value;
  }
  const outputs = Object.fromEntries(Object.entries(graph.outputs).map(([name, id]) => [name, replayed[id]!]));
  const values = reachable(Object.values(outputs));
  return { name: graph.name, values, outputs, users: usersOf(values), inputs, ruleHits: builder.ruleHits };
}

function usersOf(values: readonly Value[]): Map<Value, Value[]> {
  const users = new Map<Value, Value[]>(values.map((value) => [value, []]));
  for (const value of values) for (const input of value.inputs) users.get(input)!.push(value);
  return users;
}
