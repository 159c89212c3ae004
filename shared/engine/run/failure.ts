import { ThawError } from '@thaw/shared/protocol';
import { kernelOfNode } from '../lower/index.js';
import type { WorkerFailure } from './messages.js';

// "... while running Mul node. Name:'Conv2D.17/Gather.230' Status Message: ..." and "In Node, ("Conv2D.17/Mul", Mul, ..."
const nodeName = /Name:'([^']+)'|Node,? \("?([^",)]+)/;

/** What a worker could not do, in words of the program: the tfjs operation, not the number of a node. */
export function runtimeFailure(program: string, when: 'preparing' | 'running', failure: WorkerFailure): ThawError {
  const { problem, unknownKernel = false } = failure;
  const match = nodeName.exec(problem);
  const node = failure.kernel === undefined ? (match?.[1] ?? match?.[2]) : undefined;
  const kernel = failure.kernel ?? (node === undefined ? undefined : kernelOfNode(node));
  const where = kernel === undefined ? '' : ` in the tfjs operation ${kernel}`;
  const details = { program, ...(kernel !== undefined && { kernel }), ...(node !== undefined && { node }) };
  const message = `${when} program '${program}' failed${where}: ${problem.trim()}`;
  return unknownKernel
    ? new ThawError('THAW_ENGINE_UNKNOWN_KERNEL', message, { cure: 'Choose another engine.', details })
    : new ThawError('THAW_ENGINE_FAILED', message, { details });
}
