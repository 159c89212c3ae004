/** `thaw import`: weights with the official parameter names, from a safetensors file, become step 0 of a new run. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { loadRunSets } from '@thaw/shared/data';
import { networkWeightSpecs, sizeOf } from '@thaw/shared/model';
import { checkpointSliceCount, initialHistoryDigest, ThawError, type RunConfig } from '@thaw/shared/protocol';
import {
  adoptPrior,
  createRun,
  decodePrior,
  decodeSafetensors,
  differences,
  newestCheckpoint,
  openStore,
  weightsSha256,
  writeCheckpoint,
  type RunState,
  type StateTensor,
  type StoredPrior,
} from '@thaw/shared/storage';
import { lowestExponent } from '@thaw/trainer';
import { taskOf } from './export.js';

export interface ImportOptions {
  readonly storeUrl: string;
  readonly file: string;
  /** The run that the weights become; its name must be free, or the same import must have been made before. */
  readonly run: RunConfig;
  /** Takes weights that were trained for another degradation or training target than the run's. */
  readonly otherTask?: boolean;
  readonly nowMs: number;
}

export interface Imported {
  readonly run: string;
  readonly step: 0;
  readonly tensors: number;
  /** As of `thaw export`: of the raw values in sorted name order. */
  readonly sha256: string;
  readonly manifestSha256: string;
  /** SHA-256 of the prior that came with the weights. */
  readonly prior?: string;
}

type OfficialWeights = Record<string, StateTensor & { data: Float32Array }>;

const listed = (names: readonly string[]): string =>
  names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');

/**
 * The weights of `run`'s network in a safetensors file: exactly its names and shapes, float32, finite.
 * @throws ThawError THAW_WEIGHTS_INVALID, THAW_SAFETENSORS_INVALID
 */
export function officialWeights(bytes: Uint8Array, run: RunConfig): OfficialWeights {
  const { tensors } = decodeSafetensors(bytes);
  const specs = networkWeightSpecs(run.network, run.data);
  const missing = Object.keys(specs).filter((name) => !(name in tensors));
  const unexpected = Object.keys(tensors).filter((name) => !(name in specs));
  const problems: string[] = [];
  if (missing.length > 0)
    problems.push(`${missing.length} of ${Object.keys(specs).length} are missing (${listed(missing)})`);
  if (unexpected.length > 0) problems.push(`${unexpected.length} belong to no parameter (${listed(unexpected)})`);
  const weights: OfficialWeights = {};
  for (const [name, { officialShape }] of Object.entries(specs)) {
    const tensor = tensors[name];
    if (tensor === undefined) continue;
    const shape = `[${officialShape.join(', ')}]`;
    if (tensor.dtype !== 'F32') problems.push(`${name} is ${tensor.dtype}, not F32`);
    else if (tensor.data.length !== sizeOf(officialShape) || tensor.shape.join() !== officialShape.join())
      problems.push(`${name} is [${tensor.shape.join(', ')}], not ${shape}`);
    else if (!(tensor.data as Float32Array).every(Number.isFinite))
      problems.push(`${name} holds values that are no numbers`);
    else weights[name] = { dtype: 'F32', shape: officialShape, data: tensor.data as Float32Array };
  }
  if (problems.length > 0)
    throw new ThawError(
      'THAW_WEIGHTS_INVALID',
      `The tensors do not fit the network of run ${run.name} (${run.network.kind}): ${problems.slice(0, 8).join('; ')}.`,
    );
  return weights;
}

/**
 * Refuses weights that say they were trained for something else; files of other programs say nothing.
 * @throws ThawError THAW_WEIGHTS_INVALID naming the fields
 */
function checkTask({ task: text }: Readonly<Record<string, string>>, run: RunConfig): void {
  if (text === undefined) return;
  let task: unknown;
  try {
    task = JSON.parse(text);
  } catch (cause) {
    throw new ThawError('THAW_WEIGHTS_INVALID', 'The metadata "task" of the file is not JSON.', { cause });
  }
  const differing = differences(task, JSON.parse(JSON.stringify(taskOf(run))));
  if (differing.length > 0)
    throw new ThawError(
      'THAW_WEIGHTS_INVALID',
      `The weights were trained for something else than run ${run.name}: ${differing.slice(0, 8).join('; ')}.`,
      {
        cure: 'Import with the run file that they were trained with, or with --other-task to go on from them all the same.',
      },
    );
}

/**
 * The prior that a file of `thaw export` carries, for runs whose generation starts from one.
 * @throws ThawError THAW_PRIOR_INVALID if it is not of images of the run
 */
function carriedPrior({ prior: text }: Readonly<Record<string, string>>, run: RunConfig): StoredPrior | undefined {
  const { degradation, data } = run;
  const starts = degradation.family === 'blur' || degradation.family === 'super-resolution';
  if (text === undefined || !starts) return undefined;
  const carried = decodePrior(new TextEncoder().encode(text), 'The prior in the metadata of the file');
  const { edge, severity = degradation.steps, mixture } = carried.prior;
  const values = edge * edge * data.channels;
  if (mixture.means[0]!.length !== values || edge > data.size || severity > degradation.steps)
    throw new ThawError(
      'THAW_PRIOR_INVALID',
      `The prior in the metadata of the file is of ${edge} x ${edge} pixels with ${mixture.means[0]!.length} values at severity ${severity}; run ${run.name} has images of ${data.size} x ${data.size} x ${data.channels} and severities 1 to ${degradation.steps}.`,
      { cure: 'Import with the run file that the weights were trained with.' },
    );
  return carried;
}

/** The state before step 0 with these weights: the average is a copy, the optimizer has seen nothing. */
export function importedState(run: RunConfig, weights: OfficialWeights): RunState {
  const tensors: Record<string, StateTensor> = {};
  for (const [name, tensor] of Object.entries(weights)) {
    tensors[`weights/${name}`] = tensor;
    tensors[`ema/${name}`] = tensor;
    for (const group of ['adam.m', 'adam.v'])
      tensors[`${group}/${name}`] = { dtype: 'F32', shape: tensor.shape, data: new Float32Array(tensor.data.length) };
    const blocks = Math.ceil(tensor.data.length / 256);
    tensors[`exponents/${name}`] = { dtype: 'I8', shape: [blocks], data: new Int8Array(blocks).fill(lowestExponent) };
  }
  return {
    step: 0,
    epoch: 0,
    stepOfEpoch: 0,
    beta1Product: 1,
    beta2Product: 1,
    historyDigest: initialHistoryDigest(run.name),
    skippedInARow: 0,
    tensors,
  };
}

/**
 * Stores the run and its step 0. Nothing is written before the file has been checked.
 * @throws ThawError THAW_WEIGHTS_INVALID, THAW_PRIOR_INVALID, THAW_DATASET_NOT_FOUND, THAW_RUN_CONFLICT, THAW_CHECKPOINT_CONFLICT
 */
export async function importWeights({ storeUrl, file, run, otherTask, nowMs }: ImportOptions): Promise<Imported> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw new ThawError('THAW_WEIGHTS_INVALID', `The file ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  const weights = officialWeights(bytes, run);
  const { metadata } = decodeSafetensors(bytes);
  if (!otherTask) checkTask(metadata, run);
  const carried = carriedPrior(metadata, run);
  const store = await openStore(storeUrl);
  const dataset = (await loadRunSets(store, run)).own.manifest;
  const present = await newestCheckpoint(store, run.name);
  if (present !== undefined && present.manifest.step > 0)
    throw new ThawError(
      'THAW_RUN_CONFLICT',
      `The run ${run.name} has been trained to step ${present.manifest.step} already; weights become the first state of a new run.`,
      { cure: 'Give the import another name with --name.' },
    );
  const { configSha256 } = await createRun(store, run);
  const { manifestSha256 } = await writeCheckpoint(
    store,
    {
      run: run.name,
      parent: null,
      configSha256,
      dataset: { name: dataset.name, sha256: dataset.contentSha256 },
      fingerprint: 'imported',
      imported: { fileSha256: createHash('sha256').update(bytes).digest('hex') },
      createdMs: nowMs,
    },
    importedState(run, weights),
    checkpointSliceCount(run),
  );
  const sha256 = weightsSha256(weights);
  const prior = carried && (await adoptPrior(store, { run: run.name, step: 0, manifestSha256 }, carried));
  return {
    ...{ run: run.name, step: 0, tensors: Object.keys(weights).length, sha256, manifestSha256 },
    ...(prior === undefined ? {} : { prior }),
  };
}
