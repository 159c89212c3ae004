/**
 * `thaw export`: a checkpoint's weights as plain safetensors with the official parameter names; in the metadata what they were trained
 * for and what images are generated from.
 */
import { writeFileSync } from 'node:fs';
import { ThawError, type RunConfig } from '@thaw/shared/protocol';
import {
  encodeSafetensors,
  loadGroup,
  loadRun,
  newestCheckpoint,
  openStore,
  priorOf,
  readManifest,
  weightsSha256,
  type Tensor,
} from '@thaw/shared/storage';

export interface ExportOptions {
  readonly storeUrl: string;
  readonly run: string;
  /** The newest checkpoint unless given. */
  readonly step?: number;
  readonly group: 'weights' | 'ema';
  readonly out: string;
}

export interface Exported {
  readonly file: string;
  readonly run: string;
  readonly step: number;
  readonly group: string;
  readonly tensors: number;
  /** SHA-256 of the raw little-endian fp32 values in sorted name order. */
  readonly sha256: string;
  /** SHA-256 of the prior that the file carries (metadata `prior`), where the checkpoint has one. */
  readonly prior?: string;
}

/** What weights are trained for. In the metadata of an export, so that they are not taken for something else by mistake. */
export const taskOf = ({ degradation, trainRoutine }: RunConfig): Pick<RunConfig, 'degradation' | 'trainRoutine'> => ({
  degradation,
  trainRoutine,
});

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_PRIOR_INVALID */
export async function exportWeights({ storeUrl, run, step, group, out }: ExportOptions): Promise<Exported> {
  const store = await openStore(storeUrl);
  const stored = step === undefined ? await newestCheckpoint(store, run) : await readManifest(store, run, step);
  if (stored === undefined) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint yet.`);
  const tensors = await loadGroup(store, stored.manifest, group);
  const floats = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      if (tensor.dtype !== 'F32')
        throw new ThawError('THAW_CHECKPOINT_INVALID', `The tensor ${group}/${name} is not F32.`);
      return [name, tensor];
    }),
  ) as Record<string, Tensor & { data: Float32Array }>;
  const sha256 = weightsSha256(floats);
  const { manifest, manifestSha256 } = stored;
  const prior = await priorOf(store, { run, step: manifest.step, manifestSha256 });
  const metadata = {
    ...{ format: 'pt', run, step: String(manifest.step), group },
    task: JSON.stringify(taskOf((await loadRun(store, run)).config)),
    ...(prior === undefined ? {} : { prior: new TextDecoder().decode(prior.bytes) }),
  };
  writeFileSync(out, encodeSafetensors(floats, metadata));
  return {
    ...{ file: out, run, step: manifest.step, group, tensors: Object.keys(floats).length, sha256 },
    ...(prior === undefined ? {} : { prior: prior.sha256 }),
  };
}
