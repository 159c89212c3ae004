/**
 * What the CUDA provider of ONNX Runtime computes in fp32, as far as lowering can ask for it. Anything else would be sent back to the CPU,
 * with copies in both directions.
 *
 * Source: microsoft/onnxruntime, docs/OperatorKernels.md ("Operators implemented by CUDAExecutionProvider", domain ai.onnx), as of commit
 * 8f063305aacd23aadf77cda4c52e0592a02a7161, which is older than the version used: newer ones add operators.
 */
const documented = new Set(
  (
    'Abs Add And Cast Ceil Concat Conv ConvTranspose Cos CumSum Div Elu Equal Erf Exp Expand Floor Gather GatherND Greater GreaterOrEqual ' +
    'HardSigmoid Identity LeakyRelu Less LessOrEqual Log MatMul Max Min Mod Mul Neg Not Or Pad Pow Reciprocal ReduceMax ReduceMean ' +
    'ReduceMin ReduceProd ReduceSum Relu Reshape Round ScatterND Selu Sigmoid Sign Sin Slice Softmax Softplus Sqrt Sub Tanh Transpose Where'
  ).split(' '),
);

/** Operators of a lowered graph that the provider's documentation does not list, each once, sorted. */
export const notDocumentedForCuda = (operators: Iterable<string>): string[] =>
  [...new Set(operators)].filter((operator) => !documented.has(operator)).sort();
