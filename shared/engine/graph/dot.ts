import { dataOf, isUniform, uniformOf } from './value.js';
import type { SimplifiedGraph } from './simplify.js';
import type { Value } from './value.js';

/** The simplified graph in Graphviz' language: one box per value, with its operation and shape. */
export function toDot(graph: SimplifiedGraph): string {
  const names = new Map<Value, string[]>();
  for (const [name, value] of Object.entries(graph.outputs)) names.set(value, [...(names.get(value) ?? []), name]);
  const lines = graph.values.flatMap((value) => {
    const outputs = (names.get(value) ?? []).map((name) => `\\n=> ${name}`).join('');
    const label = `${describe(value)}\\n[${value.shape.join(', ')}] ${value.dtype}${outputs}`;
    const box = `  v${value.id} [shape=box, label="${label.replaceAll('"', "'")}"];`;
    return [box, ...value.inputs.map((input) => `  v${input.id} -> v${value.id};`)];
  });
  return `digraph "${graph.name.replaceAll('"', "'")}" {\n${lines.join('\n')}\n}\n`;
}

function describe(value: Value): string {
  if (value.op === 'Input') return `${value.attributes['role']} ${value.attributes['name']}`;
  if (isUniform(value)) return `${uniformOf(value)}`;
  if (value.op === 'Constant') return `constant (${dataOf(value).length} values)`;
  return value.op;
}
