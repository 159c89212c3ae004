/** Evaluates a checkpoint on fixed test images, below the users' rows, and stores what it found. */
import { EvaluateResultSchema, ThawError, type EvaluateRequest, type EvaluateResult } from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ImageCodec, ModelSource, ModelVersion, RestorationModel, TestImages } from '../ports.js';
import { beginTrajectory, type Trajectory } from '../trajectory/index.js';
import type { RowWorker } from '../work/index.js';
import { contactSheet } from './grid.js';
import { ScoreBoard, type ScoredImage } from './score.js';

export interface EvaluatorOptions {
  readonly name: string;
  readonly store: ObjectStore;
  readonly models: ModelSource;
  readonly testImages: TestImages;
  readonly images: ImageCodec;
  readonly worker: RowWorker;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Images in the picture of an evaluation, and how much it is enlarged. */
const picturedImages = 8;
const pictureScale = 3;
/** The choices of random degradations are the same at every evaluation. */
const evaluationSeed = 0;
/** Rows held by the worker at once: enough for full calls, without holding a data set in memory. */
const window = 64;

const paddedStep = (step: number): string => String(step).padStart(8, '0');
export const evaluationKey = (run: string, step: number): string => `runs/${run}/evaluations/${paddedStep(step)}.json`;
export const evaluationPictureKey = (run: string, step: number): string =>
  `runs/${run}/evaluations/${paddedStep(step)}.png`;

export class Evaluator {
  readonly #o: EvaluatorOptions;
  readonly #running = new Map<string, Promise<EvaluateResult>>();

  constructor(options: EvaluatorOptions) {
    this.#o = options;
  }

  /** Evaluations under way. */
  get running(): number {
    return this.#running.size;
  }

  /**
   * The scores of a checkpoint. The same question is answered from the store, or joins the work under way.
   * @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_JOB_INVALID (more images than the split has)
   */
  evaluate(request: EvaluateRequest): Promise<EvaluateResult> {
    const key = `${request.run}/${request.step}/${request.split}/${request.count}`;
    const running = this.#running.get(key) ?? this.#evaluate(request).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }

  async #evaluate(request: EvaluateRequest): Promise<EvaluateResult> {
    const { models, testImages, clock, store, images, logger, name } = this.#o;
    const version = await models.versionOf(request.run, request.step);
    const stored = await this.#stored(request, version);
    if (stored !== undefined) return stored;
    const startMs = clock.nowMs();
    const model = await models.load(version);
    model.checkSampler?.('algorithm2');
    const available = await testImages.count(model.dataset, request.split);
    if (request.count > available)
      throw new ThawError(
        'THAW_JOB_INVALID',
        `count: ${request.count} images were asked for; the split ${request.split} has ${available}.`,
      );
    const board = new ScoreBoard(model.shape, await testImages.meanTrain(model.dataset, model.shape));
    const pictured: ScoredImage[] = [];
    for (let first = 0; first < request.count; first += window) {
      const rows = Array.from({ length: Math.min(window, request.count - first) }, (_, i) => first + i);
      const scored = await Promise.all(rows.map((row) => this.#row(model, request, row)));
      for (const image of scored) {
        board.add(image);
        if (pictured.length < picturedImages) pictured.push(image);
      }
    }
    const result: EvaluateResult = EvaluateResultSchema.parse({
      format: 'thaw.evaluation/1',
      run: request.run,
      step: request.step,
      manifestSha256: version.manifestSha256,
      dataset: model.dataset,
      split: request.split,
      count: request.count,
      severity: model.steps,
      ...board.scores(),
      sampler: name,
      evaluatedMs: clock.wallTimeMs(),
      durationMs: clock.nowMs() - startMs,
    });
    const rowsOfSheet = (['original', 'degraded', 'direct', 'sampled'] as const).map((kind) =>
      pictured.map((image) => image[kind]),
    );
    const sheet = contactSheet(rowsOfSheet, model.shape);
    // The picture first: whoever sees the scores finds it.
    await store.put(evaluationPictureKey(request.run, request.step), await images.encodePng(sheet, pictureScale));
    await store.put(evaluationKey(request.run, request.step), new TextEncoder().encode(`${JSON.stringify(result)}\n`));
    logger.info('A checkpoint was evaluated', {
      run: result.run,
      step: result.step,
      l1Ratio: result.l1.ratio,
      rmseRatio: result.rmse.ratio,
      durationMs: Math.round(result.durationMs),
    });
    return result;
  }

  /** The stored answer to the same question about the same bytes. */
  async #stored(request: EvaluateRequest, version: ModelVersion): Promise<EvaluateResult | undefined> {
    const stored = await this.#o.store.get(evaluationKey(request.run, request.step));
    if (stored === undefined) return undefined;
    try {
      const result = EvaluateResultSchema.parse(JSON.parse(new TextDecoder().decode(stored.bytes)));
      const same =
        result.manifestSha256 === version.manifestSha256 &&
        result.split === request.split &&
        result.count === request.count;
      return same ? result : undefined;
    } catch (err) {
      this.#o.logger.warn('A stored evaluation cannot be read and is made again', {
        run: request.run,
        step: request.step,
        err,
      });
      return undefined;
    }
  }

  #row(model: RestorationModel, request: EvaluateRequest, row: number): Promise<ScoredImage> {
    const { worker, testImages } = this.#o;
    let original: Float32Array;
    let degraded: Float32Array;
    return new Promise((resolve, reject) => {
      const answer = worker.add({
        key: `evaluation/${request.run}/${request.step}/${request.split}/${request.count}/${row}`,
        version: model.version,
        priority: 'evaluation',
        dueByMs: 0,
        async prepare() {
          original = await testImages.image(model.dataset, request.split, row, model.shape);
          const context = await model.drawContext(evaluationSeed, row);
          degraded = (await model.degrade([{ x0: original, severity: model.steps, context }]))[0]!;
          const severities = Array.from({ length: model.steps }, (_, k) => model.steps - k);
          return beginTrajectory('algorithm2', severities, degraded, context);
        },
        async onFinished(trajectory: Trajectory) {
          resolve({ original, degraded, direct: trajectory.direct!, sampled: trajectory.x });
        },
        onFailed: reject,
        onDropped: () =>
          reject(new ThawError('THAW_DRAINING', 'The sampler is shutting down; the evaluation was given up.')),
      });
      if (answer === 'busy')
        reject(new ThawError('THAW_DRAINING', 'The sampler is shutting down; the evaluation was given up.'));
    });
  }
}
