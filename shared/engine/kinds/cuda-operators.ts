/**
 * What the CUDA provider of ONNX Runtime computes, as far as lowering can ask for it. Anything else would be sent back to the CPU, with copies
 * in both directions.
 *
 * Source: microsoft/onnxruntime, docs/OperatorKernels.md, "Operators implemented by CUDAExecutionProvider", domain ai.onnx, as of commit
 * 001d12d2623fd411ce0f83d05abb5e82304a3389: of each operator the row that holds for operator set 20, which graphs are written in
 * (`onnxOpsetVersion`); of the types those that graphs have.
 */
import type { OnnxDataType } from '../onnx/index.js';
import type { OperatorUse } from '../lower/index.js';

interface DocumentedOperator {
  /** First and, if it is not the newest, last operator set of the row. */
  readonly operatorSets: readonly [first: number, last?: number];
  /** Types of the inputs in their order, the last one for all that follow, and of the output: a name of `types`, or one type. */
  readonly inputs: readonly string[];
  readonly output: string;
  readonly types: Readonly<Record<string, readonly OnnxDataType[]>>;
}

const letters: Readonly<Record<string, OnnxDataType>> = { f: 'float32', i: 'int32', l: 'int64', b: 'bool' };

/** `operator sets | inputs > output | variable=types, ...`; f, i, l and b are float32, int32, int64 and bool. */
const rows: Readonly<Record<string, string>> = {
  Abs: '13 | T > T | T=fil',
  Add: '14 | T T > T | T=fil',
  And: '7 | b b > b',
  ArgMax: '13 | T > l | T=f',
  ArgMin: '13 | T > l | T=f',
  Cast: '19-20 | T1 > T2 | T1=bfil, T2=bfil',
  Ceil: '13 | T > T | T=f',
  Concat: '13 | T > T | T=bfil',
  Conv: '11-21 | T > T | T=f',
  ConvTranspose: '11 | T > T | T=f',
  Cos: '7 | T > T | T=f',
  CumSum: '14 | T T2 > T | T=fil, T2=il',
  Div: '14 | T T > T | T=fil',
  Elu: '6 | T > T | T=f',
  Equal: '13 | T T > b | T=bfil',
  Erf: '13 | T > T | T=f',
  Exp: '13 | T > T | T=f',
  Expand: '13 | T l > T | T=bfil',
  Floor: '13 | T > T | T=f',
  Gather: '13 | T Tind > T | T=bfil, Tind=il',
  GatherND: '13 | T l > T | T=bfl',
  Greater: '13 | T T > b | T=fil',
  GreaterOrEqual: '16 | T T > b | T=fil',
  HardSigmoid: '6-21 | T > T | T=f',
  Identity: '19 | V > V | V=bfil',
  LeakyRelu: '16 | T > T | T=f',
  Less: '13 | T T > b | T=fil',
  LessOrEqual: '16 | T T > b | T=fil',
  Log: '13 | T > T | T=f',
  MatMul: '13 | T T > T | T=f',
  Max: '13 | T > T | T=fil',
  Min: '13 | T > T | T=fil',
  Mod: '13 | T T > T | T=fil',
  Mul: '14 | T T > T | T=fil',
  Neg: '13 | T > T | T=fil',
  Not: '1 | b > b',
  Or: '7 | b b > b',
  Pad: '18 | T l T Tind > T | T=bf, Tind=il',
  Pow: '15 | T T1 > T | T=fil, T1=fil',
  Reciprocal: '13 | T > T | T=f',
  ReduceMax: '18 | T l > T | T=fil',
  ReduceMean: '18 | T l > T | T=fi',
  ReduceMin: '18 | T l > T | T=fil',
  ReduceProd: '18 | T l > T | T=fi',
  ReduceSum: '13 | T l > T | T=fil',
  Relu: '14 | T > T | T=f',
  Reshape: '19-20 | T l > T | T=bfil',
  Round: '11 | T > T | T=f',
  ScatterND: '18 | T l T > T | T=bfil',
  Selu: '6 | T > T | T=f',
  Sigmoid: '13 | T > T | T=f',
  Sign: '13 | T > T | T=fil',
  Sin: '7 | T > T | T=f',
  Slice: '13 | T Tind > T | T=bfil, Tind=il',
  Softmax: '13 | T > T | T=f',
  Softplus: '1 | T > T | T=f',
  Sqrt: '13 | T > T | T=f',
  Sub: '14 | T T > T | T=fil',
  Tanh: '13 | T > T | T=f',
  Tile: '13 | T l > T | T=fil',
  Transpose: '13-20 | T > T | T=bfil',
  Where: '16 | B T T > T | B=b, T=fil',
};

export const cudaOperators: ReadonlyMap<string, DocumentedOperator> = new Map(
  Object.entries(rows).map(([operator, row]) => [operator, parse(row)]),
);

function parse(row: string): DocumentedOperator {
  const [sets, signature, variables = ''] = row.split(' | ') as [string, string, string?];
  const [first, last] = sets.split('-').map(Number) as [number, number?];
  const [inputs, output] = signature.split(' > ') as [string, string];
  const types = variables === '' ? [] : variables.split(', ').map((variable) => variable.split('='));
  return {
    operatorSets: last === undefined ? [first] : [first, last],
    inputs: inputs.split(' '),
    output,
    types: Object.fromEntries(
      types.map(([name, list]) => [name!, [...list!].map((letter) => letters[letter]!)] as const),
    ),
  };
}

/** Why the provider's documentation does not list an operator with these types; undefined if it does. */
export function notDocumentedForCuda({ operator, domain, inputs, output }: OperatorUse): string | undefined {
  const documented = domain === '' ? cudaOperators.get(operator) : undefined;
  if (documented === undefined) return `the CUDA provider has no ${domain === '' ? '' : `${domain}.`}${operator}`;
  const bound = new Map<string, OnnxDataType>();
  const fits = (variable: string, type: OnnxDataType): boolean => {
    const allowed = documented.types[variable] ?? [letters[variable]!];
    const before = bound.get(variable) ?? type;
    bound.set(variable, before);
    return allowed.includes(type) && before === type;
  };
  const variable = (i: number): string => documented.inputs[Math.min(i, documented.inputs.length - 1)]!;
  if (inputs.every((type, i) => fits(variable(i), type)) && fits(documented.output, output)) return undefined;
  return `the CUDA provider has no ${operator} of ${inputs.join(', ')} to ${output}`;
}
