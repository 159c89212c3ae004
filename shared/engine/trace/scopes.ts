import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../types.js';

/** The part of tfjs's state that has no public door: the names of the tidies and tfjs functions that are open. */
interface Scopes {
  state: { scopeStack: readonly { readonly name: string }[] };
}

const segmentName = /^level (\d+): (.+)$/;
const known = new Map<string, Segment>();
/** tfjs functions that draw random numbers, as tfjs names their scopes. */
const drawing = /^(dropout|rand|random\w+|truncatedNormal)__op$/;

/** The innermost open tidy that names a {@link Segment}. */
export function currentSegment(): Segment | undefined {
  const scopes = openScopes();
  for (let depth = scopes.length - 1; depth >= 0; depth--) {
    const segment = segmentOf(scopes[depth]!.name);
    if (segment !== undefined) return segment;
  }
  return undefined;
}

/** The tfjs function under way that draws random numbers: the outermost, which is the one that the program calls. */
export function currentDraw(): string | undefined {
  for (const { name } of openScopes()) {
    const draw = drawing.exec(name)?.[1];
    if (draw !== undefined) return draw;
  }
  return undefined;
}

const openScopes = (): Scopes['state']['scopeStack'] => (tf.engine() as unknown as Scopes).state.scopeStack;

function segmentOf(name: string): Segment | undefined {
  const segment = known.get(name);
  if (segment !== undefined) return segment;
  const match = segmentName.exec(name);
  if (match === null) return undefined;
  const made = { level: Number(match[1]), name: match[2]! };
  known.set(name, made);
  return made;
}
