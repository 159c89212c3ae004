/**
 * What the CUDA provider of ONNX Runtime computes in fp32, as far as lowering can ask for it. Anything else would be sent back to the CPU,
 * with copies in both directions.
 *
 * Source: microsoft/onnxruntime, docs/OperatorKernels.md ("Operators implemented by CUDAExecutionProvider", domain ai.onnx), as of commit
 * 8f063305aacd23aadf77cda4c52e0592a02a7161, which is older than the version used: newer ones add operators. ArgMax, ArgMin and Tile for
 * operator sets from 13 on: as of commit 001d12d2623fd411ce0f83d05abb5e82304a3389.
 */
const documented = new Set(
  (
    'Abs Add And ArgMax ArgMin Cast Ceil Concat Conv ConvTranspose Cos CumSum Div Elu Equal Erf Exp Expand Floor Gather GatherND Greater GreaterOrEqual ' +
    'HardSigmoid Identity LeakyRelu Less LessOrEqual Log MatMul Max Min Mod Mul Neg Not Or Pad Pow Reciprocal ReduceMax ReduceMean ' +
    'ReduceMin ReduceProd ReduceSum Relu Reshape Round ScatterND Selu Sigmoid Sign Sin Slice Softmax Softplus Sqrt Sub Tanh Tile Transpose Where'
  ).split(' '),
);

/** Operators of a lowered graph that the provider's documentation does not list, each once, sorted. */
export const notDocumentedForCuda = (operators: Iterable<string>): string[] =>
  [...new Set(operators)].filter((operator) => !documented.has(operator)).sort();
