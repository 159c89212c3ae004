/** Models from checkpoints: averaged weights, verified byte by byte, each version with a network of its own. */
import { checkAlgorithm, generationStart } from '@thaw/shared/diffusion';
import type { Engine, Fingerprint } from '@thaw/shared/engine';
import { fromOfficial, networkWeightSpecs, sizeOf } from '@thaw/shared/model';
import { ThawError, type RunConfig } from '@thaw/shared/protocol';
import { RandomStream, type Logger } from '@thaw/shared/runtime';
import {
  bindPrior,
  loadGroup,
  loadRun,
  newestCheckpoint,
  priorByDigest,
  readHead,
  readManifest,
  type ObjectStore,
  type StoredPrior,
} from '@thaw/shared/storage';
import type { ModelSource, ModelVersion, RestorationModel, RowContext, StartPrior, TestImages } from '../ports.js';
import { versionKey } from '../work/index.js';
import { datasetImages } from './dataset-images.js';
import { RunPrograms, type WeightsMode } from './run-programs.js';
import { sharedCopy } from './shared-copy.js';
import type { VersionNetwork } from './version-network.js';

export interface CheckpointModelsOptions {
  readonly store: ObjectStore;
  readonly engine: Engine;
  readonly batchSizes: readonly number[];
  /** Versions kept in memory; jobs that run keep theirs beyond that. */
  readonly keepVersions: number;
  /** `constant` unless given. */
  readonly weights?: WeightsMode;
  readonly logger: Logger;
}

type Weights = Readonly<Record<string, Float32Array>>;

export class CheckpointModels implements ModelSource {
  readonly #o: CheckpointModelsOptions;
  readonly #models = new Map<string, Promise<RestorationModel>>();
  readonly #ready = new Map<string, { readonly version: ModelVersion; readonly network: VersionNetwork }>();
  readonly #programs = new Map<string, Promise<RunPrograms>>();
  /** Pictures that images are mixed with. */
  readonly #pictures: TestImages;

  constructor(options: CheckpointModelsOptions) {
    this.#o = options;
    this.#pictures = datasetImages(options.store);
  }

  async headOf(channel: string): Promise<ModelVersion | undefined> {
    return (await readHead(this.#o.store, channel))?.serving ?? undefined;
  }

  async versionOf(run: string, step: number): Promise<ModelVersion> {
    const { manifestSha256 } = await readManifest(this.#o.store, run, step);
    return { run, step, manifestSha256 };
  }

  async newestOf(run: string): Promise<ModelVersion | undefined> {
    const newest = await newestCheckpoint(this.#o.store, run);
    return newest && { run, step: newest.manifest.step, manifestSha256: newest.manifestSha256 };
  }

  async priorOf(version: ModelVersion, named?: string): Promise<StartPrior | undefined> {
    const { store } = this.#o;
    if (named !== undefined) return startPrior(await namedPrior(store, named));
    const bound = await bindPrior(store, version);
    return bound === undefined ? undefined : startPrior(await priorByDigest(store, bound));
  }

  loaded(): ModelVersion[] {
    return [...this.#ready.values()].map(({ version }) => version);
  }

  /** Ends the workers of every version in memory; for the end of the process. */
  async close(): Promise<void> {
    await Promise.all([...this.#ready.values()].map(({ network }) => network.close()));
  }

  load(version: ModelVersion): Promise<RestorationModel> {
    const key = versionKey(version);
    const known = this.#models.get(key);
    this.#models.delete(key);
    const model = known ?? this.#load(key, version);
    this.#models.set(key, model); // used last
    if (known === undefined) model.catch(() => this.#models.get(key) === model && this.#models.delete(key));
    return model;
  }

  async #load(key: string, version: ModelVersion): Promise<RestorationModel> {
    const { store, logger } = this.#o;
    const { manifest, manifestSha256 } = await readManifest(store, version.run, version.step);
    if (manifestSha256 !== version.manifestSha256)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `The manifest of step ${version.step} of run ${version.run} has SHA-256 ${manifestSha256}, not ${version.manifestSha256} as promoted.`,
      );
    const { config: run, configSha256 } = await loadRun(store, version.run);
    if (configSha256 !== manifest.configSha256)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `Step ${version.step} of run ${version.run} was made with another configuration than the stored one.`,
      );
    const programs = await this.#programsOf(run);
    const weights = this.#weights(version, run, await loadGroup(store, manifest, 'ema'));
    const network = programs.network(weights);
    try {
      await programs.prove(network, logger);
      const model = this.#model(version, programs, network);
      await this.#warm(model, programs);
      this.#ready.set(key, { version, network });
      this.#evict();
      return model;
    } catch (error) {
      network.giveUp();
      throw error;
    }
  }

  #model(version: ModelVersion, programs: RunPrograms, network: VersionNetwork): RestorationModel {
    const { run } = programs;
    let fingerprint: Promise<Fingerprint> | undefined;
    return {
      version,
      shape: programs.shape,
      steps: programs.degradation.steps,
      dataset: run.data.dataset,
      family: run.degradation.family,
      batchSizes: programs.batchSizes,
      generationStart: () => generationStart(run.degradation),
      checkSampler: (sampler) => checkAlgorithm(sampler, programs.degradation, run.trainRoutine),
      drawContext: (seed, row) => this.#context(programs, seed, row),
      ...(run.degradation.family !== 'noise'
        ? {}
        : {
            redrawContext: (seed: number, row: number, severity: number) =>
              programs.drawContext(seed, row, undefined, severity),
          }),
      fingerprint: () => {
        fingerprint ??= programs.fingerprint(network);
        fingerprint.catch(() => (fingerprint = undefined));
        return fingerprint;
      },
      hold: () => network.hold(),
      step: (rows) => programs.step(network, rows),
      degrade: (rows) => programs.degrade(rows),
    };
  }

  async #context(programs: RunPrograms, seed: number, row: number): Promise<RowContext> {
    const { partners } = programs.degradation;
    if (partners === undefined) return programs.drawContext(seed, row);
    const count = await this.#pictures.count(partners, 'train');
    const index = new RandomStream(seed, 'degradation', 0, 1, row).below(count);
    return programs.drawContext(seed, row, await this.#pictures.image(partners, 'train', index, programs.shape));
  }

  /** A first call, before the model is served: its result must be numbers. */
  async #warm(model: RestorationModel, programs: RunPrograms): Promise<void> {
    const { height, width, channels } = model.shape;
    const x = new Float32Array(height * width * channels);
    const [output] = await model.step([
      { x, severity: model.steps, nextSeverity: model.steps - 1, context: programs.drawContext(0, 0, x) },
    ]);
    if (!output!.estimate.every(Number.isFinite))
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `The weights of step ${model.version.step} restore to values that are no numbers.`,
      );
  }

  /** A run's configuration never changes, so its name stands for its programs. */
  #programsOf(run: RunConfig): Promise<RunPrograms> {
    const known = this.#programs.get(run.name);
    if (known !== undefined) return known;
    const programs = RunPrograms.compile(this.#o.engine, run, this.#o.batchSizes, this.#o.weights);
    this.#programs.set(run.name, programs);
    programs.catch(() => this.#programs.delete(run.name));
    return programs;
  }

  /** In model layout, on shared memory. */
  #weights(version: ModelVersion, run: RunConfig, tensors: Awaited<ReturnType<typeof loadGroup>>): Weights {
    const weights: Record<string, Float32Array> = {};
    for (const [name, spec] of Object.entries(networkWeightSpecs(run.network, run.data))) {
      const tensor = tensors[name];
      if (tensor === undefined || tensor.dtype !== 'F32' || tensor.data.length !== sizeOf(spec.officialShape))
        throw new ThawError(
          'THAW_CHECKPOINT_INVALID',
          `The checkpoint ${version.step} of run ${version.run} has no averaged weight ${name} of shape [${spec.officialShape.join(', ')}].`,
        );
      weights[name] = sharedCopy(fromOfficial(spec, tensor.data));
    }
    return weights;
  }

  #evict(): void {
    for (const key of this.#models.keys()) {
      if (this.#ready.size <= this.#o.keepVersions) return;
      if (!this.#ready.has(key)) continue; // being loaded
      this.#models.delete(key);
      this.#ready.get(key)!.network.giveUp();
      this.#ready.delete(key);
    }
  }
}

const startPrior = ({ sha256, prior: { mixture, edge, severity } }: StoredPrior): StartPrior => ({
  ...{ sha256, mixture, edge },
  ...(severity === undefined ? {} : { severity }),
});

/** A prior that a client names. @throws ThawError THAW_PRIOR_INVALID */
async function namedPrior(store: ObjectStore, sha256: string): Promise<StoredPrior> {
  try {
    return await priorByDigest(store, sha256);
  } catch (cause) {
    if (!(cause instanceof ThawError) || cause.code !== 'THAW_BLOB_NOT_FOUND') throw cause;
    throw new ThawError('THAW_PRIOR_INVALID', `prior: there is none with the SHA-256 ${sha256}.`, { cause });
  }
}

/** On shared memory: the engine's workers read weights in place. */
