/** Programs whose weights are given at every call, instead of fixed in the graph: slower, and without transformed filters in memory. */
import { toStored, type Compiled, type Engine, type FixedPrograms, type ProgramDefinition } from '@thaw/shared/engine';
import { sharedCopy } from './shared-copy.js';

/** Tells the weights of one network from those of all others in this process. */
let networks = 0;

/**
 * The same port as `openFixed` of an engine has. Sessions are shared by all networks of the programs.
 * @param weights in model layout, on shared memory; they must not change
 */
export async function openGiven(
  engine: Engine,
  definitions: readonly ProgramDefinition[],
  weights: Readonly<Record<string, Float32Array>>,
): Promise<FixedPrograms> {
  const weightsVersion = ++networks;
  const loaded = await loadAll(engine, definitions);
  /** By name and order: programs that store a weight alike read the same memory. */
  const arrays = new Map<string, Float32Array>();
  const programs = loaded.map((compiled): Compiled => {
    const stored = Object.fromEntries(
      compiled.weights.map((weight) => {
        const values = weights[weight.name]!;
        const key = `${weight.name}/${weight.permutation.join(',')}`;
        const known =
          arrays.get(key) ?? (isOrdered(weight.permutation) ? values : sharedCopy(toStored(weight, values)));
        arrays.set(key, known);
        return [weight.name, known];
      }),
    );
    return {
      ...described(compiled),
      run: (call) => compiled.run({ ...call, weights: stored, weightsVersion }),
      dispose: () => compiled.dispose(),
    };
  });
  return {
    programs,
    close: async () => void (await Promise.all(loaded.map((compiled) => compiled.dispose()))),
  };
}

/** All or none. */
async function loadAll(engine: Engine, definitions: readonly ProgramDefinition[]): Promise<Compiled[]> {
  const outcomes = await Promise.allSettled(definitions.map((definition) => engine.load(definition)));
  const loaded = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return loaded;
  await Promise.allSettled(loaded.map((compiled) => compiled.dispose()));
  throw failed.reason;
}

/** What is said of a program whose weights nobody has to give any more. */
const described = ({ name, inputs, outputs, digest, resultDigest }: Compiled): Omit<Compiled, 'run' | 'dispose'> => ({
  ...{ name, weights: [], inputs, outputs, digest, resultDigest },
});

const isOrdered = (permutation: readonly number[]): boolean => permutation.every((axis, place) => axis === place);
