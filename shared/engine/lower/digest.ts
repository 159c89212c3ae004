import { createHash } from 'node:crypto';
import type { Program } from '../types.js';

export const sha256 = (...parts: readonly (Uint8Array | string)[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

/** What identifies a lowered program: its graph, and the tables that say how the graph is fed and read. */
export const programDigest = ({
  name,
  onnx,
  weights,
  prepared,
  inputs,
  outputs,
}: Pick<Program, 'name' | 'onnx' | 'weights' | 'prepared' | 'inputs' | 'outputs'>): string =>
  sha256(
    onnx,
    JSON.stringify({
      name,
      weights,
      prepared: prepared.map((weight) => ({ ...weight, onnx: sha256(weight.onnx) })),
      inputs,
      outputs,
    }),
  );
