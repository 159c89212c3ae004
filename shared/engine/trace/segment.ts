import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../types.js';

/** The part of tfjs's state that has no public door: the names of the tidies that are open. */
interface Scopes {
  state: { scopeStack: readonly { readonly name: string }[] };
}

const segmentName = /^level (\d+): (.+)$/;
const known = new Map<string, Segment>();

/** The innermost open tidy that names a {@link Segment}. */
export function currentSegment(): Segment | undefined {
  const { scopeStack } = (tf.engine() as unknown as Scopes).state;
  for (let depth = scopeStack.length - 1; depth >= 0; depth--) {
    const segment = segmentOf(scopeStack[depth]!.name);
    if (segment !== undefined) return segment;
  }
  return undefined;
}

function segmentOf(name: string): Segment | undefined {
  const segment = known.get(name);
  if (segment !== undefined) return segment;
  const match = segmentName.exec(name);
  if (match === null) return undefined;
  const made = { level: Number(match[1]), name: match[2]! };
  known.set(name, made);
  return made;
}
