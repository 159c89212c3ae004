import { describe, expect, it } from 'vitest';
import type { OnnxNode } from '../onnx/index.js';
import { liveMemory } from './live-memory.js';

const node = (name: string, inputs: readonly string[], op = 'Add'): OnnxNode => ({
  name: `make ${name}`,
  op,
  domain: '',
  inputs,
  outputs: [name],
  attributes: {},
});
const reckon = (nodes: readonly OnnxNode[], results: readonly string[], sizes: Readonly<Record<string, number>>) =>
  liveMemory(nodes, results, (tensor) => sizes[tensor]!);

describe('liveMemory', () => {
  it('holds a tensor until its last reader has run', () => {
    const chain = [node('a', ['x']), node('b', ['a']), node('c', ['b']), node('d', ['c'])];
    expect(reckon(chain, ['d'], { a: 8, b: 4, c: 2, d: 1 })).toEqual({
      peakBytes: 12,
      peakNode: 'make b',
      resultBytes: 1,
    });
    // Kept for the last node as well.
    const kept = [...chain.slice(0, 3), node('d', ['c', 'a'])];
    expect(reckon(kept, ['d'], { a: 8, b: 4, c: 2, d: 1 })).toMatchObject({ peakBytes: 14, peakNode: 'make c' });
  });

  it('holds a result to the end', () => {
    const nodes = [node('a', ['x']), node('b', ['a']), node('c', ['b'])];
    expect(reckon(nodes, ['a', 'c'], { a: 8, b: 4, c: 2 })).toEqual({
      peakBytes: 14,
      peakNode: 'make c',
      resultBytes: 10,
    });
  });

  it('takes a Reshape for a view, which keeps what it views', () => {
    const nodes = [node('a', ['x']), node('v', ['a', 'shape'], 'Reshape'), node('b', ['x']), node('c', ['b', 'v'])];
    expect(reckon(nodes, ['c'], { a: 8, b: 4, c: 2 })).toMatchObject({ peakBytes: 14, peakNode: 'make c' });
  });

  it('counts nothing for weights and inputs', () => {
    expect(reckon([node('v', ['weight', 'shape'], 'Reshape'), node('a', ['v'])], ['a'], { a: 8 })).toMatchObject({
      peakBytes: 8,
    });
  });
});
