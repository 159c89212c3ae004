import { ThawError } from '../../protocol/index.js';
import type { Shape } from './shape.js';

/** The error for an operation that has no lowering, naming the tfjs kernel and the shapes it was used with. */
export function unsupportedOp(op: string, inputShapes: readonly Shape[], outputShape: Shape, why?: string): ThawError {
  const shapes = inputShapes.map((shape) => `[${shape.join(', ')}]`).join(', ');
  const reason = why === undefined ? '' : `: ${why}`;
  return new ThawError(
    'THAW_ENGINE_UNSUPPORTED_OP',
    `No lowering for ${op}(${shapes}) -> [${outputShape.join(', ')}]${reason}.`,
    { details: { op, inputShapes, outputShape } },
  );
}
