/** Which prior a checkpoint has: one small object per checkpoint, named by its manifest's hash, put if absent and never changed. */
import { z } from 'zod';
import { decodeJson, ThawError } from '../../protocol/index.js';
import type { CheckpointRef } from '../checkpoints/index.js';
import { CheckpointRefSchema } from '../checkpoints/manifest.js';
import type { ObjectStore } from '../store/index.js';
import { checkName } from '../store/index.js';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const PriorBindingSchema = CheckpointRefSchema.extend({
  format: z.literal('thaw.prior-binding/1'),
  /** SHA-256 of the prior, a blob. */
  prior: sha256,
});
export type PriorBinding = z.infer<typeof PriorBindingSchema>;

export function priorBindingPrefix(run: string): string {
  checkName('run', run);
  return `runs/${run}/priors/`;
}

export const priorBindingKey = ({ run, manifestSha256 }: Pick<CheckpointRef, 'run' | 'manifestSha256'>): string =>
  `${priorBindingPrefix(run)}${sha256.parse(manifestSha256)}.json`;

/** The manifest's hash in a key made by {@link priorBindingKey}, or undefined for any other key. */
export const manifestOfBindingKey = (key: string): string | undefined =>
  /\/priors\/([0-9a-f]{64})\.json$/.exec(key)?.[1];

/** SHA-256 of the prior of a checkpoint; undefined: it has none yet. @throws ThawError THAW_PRIOR_INVALID */
export async function readBinding(store: ObjectStore, checkpoint: CheckpointRef): Promise<string | undefined> {
  const found = await store.get(priorBindingKey(checkpoint));
  if (found === undefined) return undefined;
  const where = `What binds a prior to step ${checkpoint.step} of run ${checkpoint.run}`;
  const binding = decodeJson(found.bytes, PriorBindingSchema, 'THAW_PRIOR_INVALID', where);
  const { run, step, manifestSha256, prior } = binding;
  if (run !== checkpoint.run || step !== checkpoint.step || manifestSha256 !== checkpoint.manifestSha256)
    throw new ThawError('THAW_PRIOR_INVALID', `${where} says it is of step ${step} of run ${run}.`);
  return prior;
}

/** Binds, unless the checkpoint has a prior. @returns SHA-256 of the one that it has now */
export async function writeBinding(store: ObjectStore, checkpoint: CheckpointRef, prior: string): Promise<string> {
  const { run, step, manifestSha256 } = checkpoint;
  const binding: PriorBinding = { format: 'thaw.prior-binding/1', run, step, manifestSha256, prior };
  const bytes = new TextEncoder().encode(`${JSON.stringify(PriorBindingSchema.parse(binding))}\n`);
  const { created } = await store.putIfAbsent(priorBindingKey(checkpoint), bytes);
  if (created) return prior;
  const present = await readBinding(store, checkpoint);
  if (present === undefined)
    throw new ThawError(
      'THAW_STORE_AMBIGUOUS',
      `The prior of step ${step} of run ${run} was there and was gone a moment later.`,
    );
  return present;
}

/** All bindings of a run, those of checkpoints that are gone included. */
export async function bindingsOf(
  store: ObjectStore,
  run: string,
): Promise<{ readonly key: string; readonly manifestSha256: string; readonly modifiedMs: number }[]> {
  const found = [];
  for await (const { key, modifiedMs } of store.list(priorBindingPrefix(run))) {
    const manifestSha256 = manifestOfBindingKey(key);
    if (manifestSha256 !== undefined) found.push({ key, manifestSha256, modifiedMs });
  }
  return found;
}
