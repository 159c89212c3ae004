/** What every engine that is present must do, and what openEngine promises. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctor, engineKinds, fromStored, lower, openEngine, probeFingerprint, toStored, trace } from './index.js';
import type { Compiled, Engine, EngineCall, OnnxEngine, ProgramDefinition, TensorData } from './index.js';

const f32 = (...shape: number[]) => ({ shape, dtype: 'float32' as const });

/** loss = mean((relu(conv(x) + b) * scale[row])^2): its gradient is known from finite differences. */
const definition: ProgramDefinition = {
  name: 'small',
  weights: { kernel: f32(3, 3, 2, 4), bias: f32(4), unused: f32(3) },
  inputs: { x: f32(2, 6, 6, 2), row: { shape: [2], dtype: 'int32' }, idle: f32(1) },
  fn: ({ kernel, bias }, { x, row }) => {
    const scale = tf.reshape(tf.gather(tf.tensor1d([0.5, 1, 2]), row as tf.Tensor1D), [2, 1, 1, 1]);
    const y = tf.mul(tf.relu(tf.add(tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'same'), bias!)), scale);
    return { loss: tf.mean(tf.square(y)), y, rowPlusOne: tf.add(row!, tf.scalar(1, 'int32')) };
  },
  gradientOf: 'loss',
};

const wave = (length: number, step: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * step) % 17) / 17 - 0.45);
const shared = (data: Float32Array): Float32Array => {
  const view = new Float32Array(new SharedArrayBuffer(data.byteLength));
  view.set(data);
  return view;
};
const modelWeights: Record<string, Float32Array> = { kernel: wave(72, 5), bias: wave(4, 3), unused: wave(3, 1) };
const inputs: Record<string, TensorData> = { x: wave(144, 7), row: Int32Array.of(2, 0), idle: new Float32Array(1) };
const callOf = (compiled: Compiled, extra: Partial<EngineCall> = {}): EngineCall => ({
  weights: Object.fromEntries(
    compiled.weights.map((weight) => [weight.name, shared(toStored(weight, modelWeights[weight.name]!))]),
  ),
  inputs,
  ...extra,
});

describe.each(['onnx-cpu', 'tfjs-wasm'] as const)('%s', (kind) => {
  let engine: Engine;
  let compiled: Compiled;
  beforeAll(async () => {
    engine = await openEngine({ kind, workers: 2 });
    compiled = await engine.load(definition);
  });
  afterAll(() => engine.close());

  it('gives results in arrays that it is given, several in one buffer, with the same bits', async () => {
    const { outputs: specs } = compiled;
    const expected = await compiled.run(callOf(compiled));
    let space = new Float32Array(73 + 5);
    for (let round = 0; round < 2; round++) {
      const into = { 'grad/bias': space.subarray(1, 5), 'grad/kernel': space.subarray(5, 77) };
      const outputs = await compiled.run(callOf(compiled, { into }));
      expect(outputs).toEqual(expected);
      expect(Object.keys(outputs).sort()).toEqual(specs.map(({ name }) => name).sort());
      expect(outputs['grad/bias']!.buffer).toBe(outputs['grad/kernel']!.buffer);
      space = new Float32Array(outputs['grad/kernel']!.buffer as ArrayBuffer);
      expect([...space.subarray(1, 5)]).toEqual([...expected['grad/bias']!]);
      space.fill(7);
    }
  });

  it.each([
    ['of another size', { 'grad/bias': new Float32Array(5) }, "array for output 'grad/bias' needs 4 values, got 5"],
    ['of another type', { rowPlusOne: new Float32Array(2) }, 'must be a Int32Array, got Float32Array'],
    ['for no output', { bias: new Float32Array(4) }, "'bias' is not one of its outputs"],
    ['on shared memory', { 'grad/bias': shared(new Float32Array(4)) }, 'cannot be handed over'],
  ])('refuses an array for a result that is %s', async (_, into, problem) => {
    await expect(compiled.run(callOf(compiled, { into }))).rejects.toMatchObject({
      code: 'THAW_ENGINE_CALL_INVALID',
      message: expect.stringContaining(problem) as string,
    });
  });

  it('reads weights at any place of shared memory, and the new ones after they were changed', async () => {
    const all = new Float32Array(new SharedArrayBuffer(4 * 200));
    const weights: Record<string, Float32Array> = {};
    let at = 1;
    for (const weight of compiled.weights) {
      weights[weight.name] = all.subarray(at, (at += weight.size));
      weights[weight.name]!.set(toStored(weight, modelWeights[weight.name]!));
    }
    const first = await compiled.run({ weights, inputs, weightsVersion: 'a' });
    expect(first).toEqual(await compiled.run(callOf(compiled)));
    weights['bias']!.fill(0.5);
    const changed = await compiled.run({ weights, inputs, weightsVersion: 'b' });
    const copy = Object.fromEntries(Object.entries(weights).map(([name, values]) => [name, values.slice()]));
    expect(changed).toEqual(await compiled.run({ weights: copy, inputs }));
    expect(changed['loss']).not.toEqual(first['loss']);
  });

  it('says what it is and what the program takes', () => {
    expect(engine.describe()).toMatchObject({ kind, reason: 'asked for', nodeVersion: process.versions.node });
    expect(engine.describe().package).toMatch(/@\d+\.\d+\.\d+$/);
    expect(compiled.weights.map(({ name, size }) => [name, size])).toEqual([
      ['kernel', 72],
      ['bias', 4],
      ['unused', 3],
    ]);
    expect(compiled.inputs).toEqual([
      { name: 'x', ...f32(2, 6, 6, 2) },
      { name: 'row', shape: [2], dtype: 'int32' },
      { name: 'idle', ...f32(1) },
    ]);
    expect(compiled.outputs.map((output) => output.name).sort()).toEqual([
      'grad/bias',
      'grad/kernel',
      'grad/unused',
      'loss',
      'rowPlusOne',
      'y',
    ]);
  });

  it('computes values, integers, and gradients that agree with differences of the loss', async () => {
    const outputs = await compiled.run(callOf(compiled));
    expect(outputs['rowPlusOne']).toEqual(Int32Array.of(3, 1));
    expect(outputs['grad/unused']).toEqual(new Float32Array(3));
    const kernel = compiled.weights.find((weight) => weight.name === 'kernel')!;
    const gradient = fromStored(kernel, outputs['grad/kernel'] as Float32Array);
    const lossAt = async (element: number, change: number): Promise<number> => {
      const moved = modelWeights['kernel']!.slice();
      moved[element]! += change;
      const call = callOf(compiled);
      const result = await compiled.run({ ...call, weights: { ...call.weights, kernel: toStored(kernel, moved) } });
      return result['loss']![0]!;
    };
    for (const element of [0, 17, 71]) {
      const slope = ((await lossAt(element, 0.01)) - (await lossAt(element, -0.01))) / 0.02;
      expect(Math.abs(slope - gradient[element]!)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
    }
  });

  it('gives equal bits for equal calls, together or alone, and leaves what it was given untouched', async () => {
    const call = callOf(compiled);
    const before = structuredClone(call.weights['kernel']!.slice());
    const results = await Promise.all(Array.from({ length: 6 }, () => compiled.run(call)));
    results.push(await compiled.run(call));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(call.weights['kernel']!.slice()).toEqual(before);
    expect(call.inputs['x']!.length).toBe(144);
  });

  it('sees weights that were changed in place, and keeps a version apart from the next', async () => {
    const call = callOf(compiled);
    const first = (await compiled.run({ ...call, weightsVersion: 1 }))['loss']![0]!;
    call.weights['bias']!.fill(2);
    const second = (await compiled.run({ ...call, weightsVersion: 2 }))['loss']![0]!;
    expect(second).toBeGreaterThan(first);
    expect((await compiled.run(call))['loss']![0]).toBe(second);
  });

  it.each<[string, (call: EngineCall) => EngineCall]>([
    [
      "weight 'kernel' needs 72 values, got 3",
      (call) => ({ ...call, weights: { ...call.weights, kernel: new Float32Array(3) } }),
    ],
    [
      "input 'row' must be a Int32Array, got Float32Array",
      (call) => ({ ...call, inputs: { ...call.inputs, row: new Float32Array(2) } }),
    ],
    [
      "input 'x' must be a Float32Array, got nothing",
      (call) => ({ ...call, inputs: { row: inputs['row']!, idle: inputs['idle']! } }),
    ],
    [
      "'extra' is not one of its weights and inputs",
      (call) => ({ ...call, inputs: { ...call.inputs, extra: new Float32Array(1) } }),
    ],
  ])('refuses a call: %s', async (problem, spoil) => {
    const failed = compiled.run(spoil(callOf(compiled)));
    await expect(failed).rejects.toMatchObject({ code: 'THAW_ENGINE_CALL_INVALID' });
    await expect(failed).rejects.toThrow(problem);
  });

  it('cancels', async () => {
    const cancelled = compiled.run(callOf(compiled, { signal: AbortSignal.abort() }));
    await expect(cancelled).rejects.toMatchObject({ code: 'THAW_ENGINE_ABORTED' });
  });

  it('refuses a program that contradicts itself before anything is loaded', async () => {
    const wrong = { ...definition, gradientOf: 'lost' };
    await expect(engine.load(wrong)).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_INVALID' });
  });

  it('has one fingerprint, which the program and its bits are part of', async () => {
    const probeInput = (name: string): TensorData | undefined => (name === 'row' ? Int32Array.of(1, 2) : undefined);
    const fingerprint = await probeFingerprint(engine, [{ compiled, probeInput }]);
    expect(await probeFingerprint(engine, [{ compiled, probeInput }])).toEqual(fingerprint);
    const other = await engine.load({
      ...definition,
      fn: (w, i) => ({ ...definition.fn(w, i), more: tf.mul(i['x']!, 3) }),
    });
    expect((await probeFingerprint(engine, [{ compiled: other, probeInput }])).sha256).not.toBe(fingerprint.sha256);
    await other.dispose();
  });

  it('refuses a probe that leaves the domain, and an engine whose bits change', async () => {
    const nan = {
      compiled,
      probeInput: (name: string) => (name === 'bias' ? Float32Array.of(0, NaN, 0, 0) : undefined),
    };
    await expect(probeFingerprint(engine, [nan])).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_INVALID' });
    let calls = 0;
    const shaky: Compiled = {
      ...compiled,
      name: 'shaky',
      weights: [],
      inputs: [],
      outputs: [],
      digest: '',
      run: () => Promise.resolve({ y: Float32Array.of(++calls === 2 ? 1 + 2 ** -23 : 1) }),
    };
    await expect(probeFingerprint(engine, [{ compiled: shaky }])).rejects.toMatchObject({
      code: 'THAW_ENGINE_NOT_DETERMINISTIC',
    });
  });

  it('leaves no tensor behind and does not change the global backend', async () => {
    await tf.setBackend('cpu');
    const before = tf.memory().numTensors;
    const again = await engine.load(definition);
    await again.run(callOf(again));
    await again.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('keeps a program until its last holder disposes it', async () => {
    const again = await engine.load(definition);
    expect(again.digest).toBe(compiled.digest);
    await again.dispose();
    await expect(again.run(callOf(again))).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    expect((await compiled.run(callOf(compiled)))['loss']!.length).toBe(1);
  });

  it('takes nothing after it was closed', async () => {
    await engine.close();
    await expect(compiled.run(callOf(compiled))).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    await expect(engine.load(definition)).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
  });
});

const threads = (): number =>
  process.getActiveResourcesInfo().filter((resource) => /Worker|MessagePort/.test(resource)).length;

describe('openEngine', () => {
  it.each(['onnx-cpu', 'tfjs-wasm'] as const)('leaves no thread of %s behind', async (kind) => {
    const before = threads();
    const engine = await openEngine({ kind, workers: 2 });
    await engine.load(definition);
    expect(threads()).toBeGreaterThan(before);
    await engine.close();
    await engine.close();
    expect(threads()).toBe(before);
  });

  it('says which engine auto took and why', async () => {
    const engine = await openEngine();
    try {
      expect(engine.kind).toBe('onnx-cpu');
      expect(engine.describe().reason).toMatch(/^auto: ONNX Runtime runs/);
    } finally {
      await engine.close();
    }
  });

  it('never replaces an engine that was asked for', async () => {
    await expect(openEngine({ kind: 'tfjs-node-gpu' })).rejects.toMatchObject({ code: 'THAW_ENGINE_UNAVAILABLE' });
    await expect(openEngine({ kind: 'quantum' as 'auto' })).rejects.toMatchObject({ code: 'THAW_ENGINE_UNAVAILABLE' });
    await expect(openEngine({ workers: 0 })).rejects.toMatchObject({ code: 'THAW_CONFIG_INVALID' });
  });

  it('tells of every engine whether it can be used, with a reason', async () => {
    const answers = await doctor();
    expect(answers.map((answer) => answer.kind)).toEqual([...engineKinds]);
    for (const answer of answers) expect(answer.reason).toMatch(/\S/);
    expect(answers.find((answer) => answer.kind === 'onnx-cpu')).toMatchObject({ available: true });
    expect(answers.find((answer) => answer.kind === 'tfjs-wasm')).toMatchObject({ available: true });
  });
});

describe('programs with fixed weights', () => {
  const forward: ProgramDefinition = {
    name: 'forward',
    weights: {
      depthwise: f32(7, 7, 16, 1),
      conv: f32(3, 3, 16, 16),
      down: f32(4, 4, 16, 16),
      dense: f32(16, 16),
      unread: f32(3),
    },
    inputs: { x: f32(2, 8, 8, 16) },
    fn: ({ depthwise, conv, down, dense }, { x }) => {
      const a = tf.depthwiseConv2d(x as tf.Tensor4D, depthwise as tf.Tensor4D, 1, 'same');
      const b = tf.conv2d(a, conv as tf.Tensor4D, 1, 'same');
      const c = tf.conv2d(b, down as tf.Tensor4D, 2, 1);
      return { y: tf.matMul(tf.reshape(c, [32, 16]), dense as tf.Tensor2D) };
    },
  };
  const weightsOf = (seed: number): Record<string, Float32Array> =>
    Object.fromEntries(
      Object.entries(forward.weights).map(([name, { shape }], i) => [
        name,
        wave(
          shape.reduce((product, length) => product * length, 1),
          seed + i,
        ),
      ]),
    );
  const images = { x: wave(2 * 8 * 8 * 16, 1) };

  it('of several batch sizes share what is prepared of their weights, and give a row the same bits', async () => {
    const sized = (batch: number): ProgramDefinition => ({
      name: 'sized',
      weights: { filter: f32(3, 3, 64, 128) },
      inputs: { x: f32(batch, 32, 32, 64) },
      fn: ({ filter }, { x }) => ({ y: tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same') }),
    });
    const [one, three] = [1, 3].map((batch) => lower(trace(sized(batch)), { fixedWeights: true }));
    expect(one!.prepared.map(({ shape }) => shape)).toEqual([[36, 128, 64]]);
    expect(three!.prepared).toEqual(one!.prepared);
    expect(one!.weights).toEqual([]);
    const elsewhere = lower(trace(sized(1)), { fixedWeights: true, capabilities: { microsoftOps: false } });
    expect([elsewhere.prepared, elsewhere.weights.map(({ name }) => name)]).toEqual([[], ['filter']]);

    const filter = wave(9 * 64 * 128, 2);
    const x = wave(3 * 32 * 32 * 64, 3);
    const engine = await openEngine({ kind: 'onnx-cpu' });
    const variable = await engine.load(sized(3));
    const stored = { filter: toStored(variable.weights[0]!, filter) };
    const expected = (await variable.run({ weights: stored, inputs: { x } }))['y']!;
    const { programs, close } = await engine.openFixed([sized(1), sized(3)], { filter });
    const all = (await programs[1]!.run({ weights: {}, inputs: { x } }))['y']!;
    const size = all.length / 3;
    for (const row of [0, 2]) {
      const alone = x.slice((row * x.length) / 3, ((row + 1) * x.length) / 3);
      const { y } = await programs[0]!.run({ weights: {}, inputs: { x: alone } });
      expect(Buffer.from(y!.buffer).equals(Buffer.from(all.slice(row * size, (row + 1) * size).buffer))).toBe(true);
    }
    const largest = Math.max(...Array.from({ length: 3 * 32 }, (_, i) => Math.abs(expected[i * 4096]!)));
    expect(all.every((value, at) => Math.abs(value - expected[at]!) < 1e-5 * largest)).toBe(true);
    await close();
    await engine.close();
  });

  it.each(['onnx-cpu', 'tfjs-wasm'] as const)(
    'compute what they compute with given weights, side by side, on %s',
    async (kind) => {
      const engine = await openEngine({ kind });
      const variable = await engine.load(forward);
      const expected = await Promise.all(
        [1, 2].map((seed) => {
          const own = weightsOf(seed);
          const stored = Object.fromEntries(variable.weights.map((w) => [w.name, toStored(w, own[w.name]!)]));
          return variable.run({ weights: stored, inputs: images });
        }),
      );
      const [first, second] = [
        await engine.openFixed([forward], weightsOf(1)),
        await engine.openFixed([forward], weightsOf(2)),
      ];
      for (const [i, { programs }] of [first, second].entries()) {
        expect(programs[0]!.weights).toEqual([]);
        const { y } = await programs[0]!.run({ weights: {}, inputs: images });
        const difference = y!.map((value, at) => Math.abs(value - expected[i]!['y']![at]!));
        const largest = Math.max(...Array.from(expected[i]!['y']!, Math.abs));
        expect(Math.max(...difference)).toBeLessThan(1e-5 * largest);
        expect((await programs[0]!.run({ weights: {}, inputs: images }))['y']).toEqual(y);
      }
      expect(expected[0]!['y']).not.toEqual(expected[1]!['y']);
      await first.close();
      await expect(second.programs[0]!.run({ weights: {}, inputs: images })).resolves.toBeDefined();
      if (kind === 'onnx-cpu')
        await expect(first.programs[0]!.run({ weights: {}, inputs: images })).rejects.toMatchObject({
          code: 'THAW_ENGINE_CLOSED',
        });
      await second.close();
      await engine.close();
      await expect(engine.openFixed([forward], weightsOf(1))).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    },
  );

  describe.each(['onnx-cpu', 'tfjs-wasm'] as const)('are refused before anything is made, on %s', (kind) => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await openEngine({ kind });
    });
    afterAll(() => engine.close());

    it.each<[string, ProgramDefinition, (weights: Record<string, Float32Array>) => void]>([
      ["weight 'dense' needs 256 values, got nothing", forward, (weights) => delete weights['dense']],
      ["weight 'dense' needs 256 values, got 3", forward, (weights) => (weights['dense'] = wave(3, 1))],
      ["weight 'unread' has a value that is not finite", forward, (weights) => (weights['unread']![1] = NaN)],
      ["weight 'conv' has a value that is not finite", forward, (weights) => (weights['conv']![9] = -Infinity)],
      ['gradients are taken of weights that can change', definition, (weights) => Object.assign(weights, modelWeights)],
    ])('%s', async (problem, program, spoil) => {
      const weights = weightsOf(1);
      spoil(weights);
      const before = threads();
      const refused = engine.openFixed([program], weights);
      await expect(refused).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_INVALID' });
      await expect(refused).rejects.toThrow(problem);
      expect(threads()).toBe(before);
    });
  });
});

describe('blocked convolutions of onnx-cpu', () => {
  const depthwise: ProgramDefinition = {
    name: 'depthwise',
    weights: { filter: f32(7, 7, 32, 1) },
    inputs: { x: f32(2, 8, 9, 32) },
    fn: ({ filter }, { x }) => ({ y: tf.depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same') }),
  };

  it('are used as the self-test says, which the description tells, and agree with plain ones', async () => {
    const engine = (await openEngine({ kind: 'onnx-cpu', workers: 2 })) as OnnxEngine;
    try {
      const { blockSize, reason } = engine.describe().blockedConv;
      expect(reason).toMatch(/blocks of/);
      const plain = await engine.loadProgram(lower(trace(depthwise)));
      const chosen = await engine.load(depthwise);
      expect(chosen.digest === plain.digest).toBe(blockSize === false);
      const call = { weights: { filter: wave(7 * 7 * 32, 5) }, inputs: { x: wave(2 * 8 * 9 * 32, 7) } };
      const [a, b] = [await plain.run(call), await chosen.run(call)];
      expect(Math.max(...a['y']!.map((value, i) => Math.abs(value - b['y']![i]!)))).toBeLessThan(1e-4);
    } finally {
      await engine.close();
    }
  });

  it('are never computed in blocks of another size: a program lowered so is refused, as is a damaged one', async () => {
    const engine = (await openEngine({ kind: 'onnx-cpu' })) as OnnxEngine;
    try {
      const { blockSize } = engine.describe().blockedConv;
      for (const other of ([8, 16] as const).filter((size) => size !== blockSize)) {
        const foreign = lower(trace(depthwise), { capabilities: { blockedConv: other } });
        const refused = engine.loadProgram(foreign);
        await expect(refused).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_CORRUPT' });
        await expect(refused).rejects.toThrow(`blocks of ${other}`);
      }
      const program = lower(trace(depthwise));
      const onnx = program.onnx.slice();
      onnx[onnx.length - 5]! ^= 1;
      for (const bad of [
        { ...program, onnx },
        { ...program, onnx: onnx.subarray(0, 100) },
        { ...program, loweringVersion: 1 },
      ])
        await expect(engine.loadProgram(bad)).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_CORRUPT' });
      await (await engine.loadProgram(program)).dispose();
    } finally {
      await engine.close();
    }
  });
});
