import { createHash } from 'node:crypto';
import { ThawError } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { sizeOf } from './graph/shape.js';
import type { Compiled, Engine, EngineCall, EngineDescription, TensorData } from './types.js';

/** A program whose bits count, and how its inputs are drawn. */
export interface ProbedProgram {
  readonly compiled: Compiled;
  /**
   * Draws an input or a weight from the domain of the program. Undefined takes the default: weights uniform on
   * [-0.1, 0.1), float inputs on [-1, 1), integers 0.
   */
  readonly probeInput?: (name: string, size: number, stream: RandomStream) => TensorData | undefined;
}

/** What must be equal for equal bits. */
export interface Fingerprint {
  /** In words, for people and logs. */
  readonly fields: Readonly<Record<string, string>>;
  /** SHA-256 of the fields, hexadecimal. */
  readonly sha256: string;
}

/**
 * Names the engine and measures it: every program runs on a fixed Philox input, at least twice and on every worker of a
 * pool that is free, and the SHA-256 of its outputs becomes a field. `more`: fields for what is computed outside engines.
 * Errors: THAW_ENGINE_NOT_DETERMINISTIC when two runs differ; THAW_ENGINE_PROGRAM_INVALID when a result is not finite
 * (its bits would say nothing; give a `probeInput` that stays in the domain).
 */
export async function probeFingerprint(
  engine: Engine,
  programs: readonly ProbedProgram[],
  more: Readonly<Record<string, string>> = {},
): Promise<Fingerprint> {
  const description = engine.describe();
  const { kind, device, workers } = description;
  const fields = engineFields(description);
  for (const [index, program] of programs.entries()) {
    const { compiled } = program;
    const call = probeCall(program, index);
    const repeats = workers === 1 ? 2 : 2 * workers;
    const runs = await Promise.all(Array.from({ length: repeats }, () => compiled.run(call)));
    const [digest, ...others] = runs.map((outputs) => outputDigest(compiled, outputs));
    if (others.some((other) => other !== digest))
      throw new ThawError(
        'THAW_ENGINE_NOT_DETERMINISTIC',
        `program '${compiled.name}' gave different bits for the same probe on ${kind}, ${device}`,
      );
    fields[`program ${index} ${compiled.name}`] = compiled.resultDigest;
    fields[`probe ${index} ${compiled.name}`] = digest!;
  }
  return fingerprintOf({ ...fields, ...more });
}

/** What an engine says of itself that must be equal for equal bits. */
export const engineFields = (engine: EngineDescription): Record<string, string> => ({
  engine: engine.kind,
  package: engine.package,
  provider: engine.provider,
  device: engine.device,
  platform: engine.platform,
  node: engine.nodeVersion,
  v8: engine.v8Version,
  lowering: String(engine.loweringVersion),
});

export const fingerprintOf = (fields: Readonly<Record<string, string>>): Fingerprint => ({
  fields,
  sha256: createHash('sha256')
    .update(JSON.stringify(Object.entries(fields)))
    .digest('hex'),
});

/** A fixed call: inputs and weights drawn by Philox. `position` separates the programs of one probe. */
export function probeCall(
  { compiled, probeInput }: Pick<ProbedProgram, 'probeInput'> & { compiled: Pick<Compiled, 'weights' | 'inputs'> },
  position: number,
): EngineCall {
  let tensor = 0;
  const draw = (name: string, size: number, fallback: (stream: RandomStream) => TensorData): TensorData => {
    const lane = tensor++;
    const stream = (): RandomStream => new RandomStream(0, 'probe', position, lane);
    return probeInput?.(name, size, stream()) ?? fallback(stream());
  };
  const weights = compiled.weights.map(({ name, size }): [string, Float32Array] => [
    name,
    draw(name, size, (stream) => fill(new Float32Array(size), () => (stream.uniform() - 0.5) / 5)) as Float32Array,
  ]);
  const inputs = compiled.inputs.map((spec): [string, TensorData] => {
    const size = sizeOf(spec.shape);
    const integers = spec.dtype === 'int32';
    return [
      spec.name,
      draw(spec.name, size, (stream) =>
        integers ? new Int32Array(size) : fill(new Float32Array(size), () => 2 * stream.uniform() - 1),
      ),
    ];
  });
  return { weights: Object.fromEntries(weights), inputs: Object.fromEntries(inputs) };
}

function outputDigest(compiled: Compiled, outputs: Readonly<Record<string, TensorData>>): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(outputs).sort()) {
    const data = outputs[name]!;
    if (!data.every((value) => Number.isFinite(value)))
      throw new ThawError(
        'THAW_ENGINE_PROGRAM_INVALID',
        `the probe of program '${compiled.name}' gave a value that is not finite in '${name}'`,
        {
          cure: 'Give a probeInput that draws from the domain of the program.',
        },
      );
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

function fill(data: Float32Array, draw: () => number): Float32Array {
  for (let i = 0; i < data.length; i++) data[i] = draw();
  return data;
}
