import { ThawError } from '@thaw/shared/protocol';

// "... while running Mul node. Name:'Conv2D.17/Gather.230' Status Message: ..." and "In Node, ("Conv2D.17/Mul", Mul, ..."
const nodeName = /Name:'([^']+)'|Node,? \("?([^",)]+)/;

/** The tfjs kernel behind a node of a lowered graph: lowering names nodes `<kernel>.<value>/<operator>.<number>`. */
export function kernelOfNode(name: string): string | undefined {
  return /^([A-Za-z0-9_]+)(?:\.\d+)?\//.exec(name)?.[1];
}

/** An error of ONNX Runtime in words of the program: the tfjs operation, not the number of a node. */
export function runtimeFailure(program: string, when: 'preparing' | 'running', problem: string): ThawError {
  const match = nodeName.exec(problem);
  const node = match?.[1] ?? match?.[2];
  const kernel = node === undefined ? undefined : kernelOfNode(node);
  const where = kernel === undefined ? '' : ` in the tfjs operation ${kernel}`;
  return new ThawError('THAW_ENGINE_FAILED', `${when} program '${program}' failed${where}: ${problem.trim()}`, {
    details: { program, ...(kernel !== undefined && { kernel }), ...(node !== undefined && { node }) },
  });
}
