/** Features of a Frechet distance: `thaw features train`, and the choice of `thaw evaluate`. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { openEngine, type Engine } from '@thaw/shared/engine';
import {
  openClassifierFeatures,
  openOnnxFeatures,
  parseOnnxFeatures,
  trainFeatures,
  type Classifier,
  type FeatureExtractor,
} from '@thaw/shared/evaluation';
import { ThawError, type EngineName } from '@thaw/shared/protocol';
import { openStore, type ObjectStore } from '@thaw/shared/storage';
import { createProgress } from '../terminal/progress.js';

export interface FeaturesChoice {
  /** ONNX file; the classifier of the data set unless given. */
  readonly features?: string;
  /** JSON file that describes it; `net.json` beside `net.onnx` unless given. */
  readonly featuresConfig?: string;
}

/**
 * @param classifier store and engine of the classifier, asked for when no network is given
 * @throws ThawError THAW_FEATURES_MISSING, THAW_FEATURES_INVALID
 */
export async function openFeatures(
  classifier: () => Promise<{ readonly store: ObjectStore; readonly engine: Engine }>,
  dataset: string,
  shape: { readonly height: number; readonly width: number; readonly channels: number },
  { features, featuresConfig }: FeaturesChoice,
): Promise<FeatureExtractor> {
  if (features === undefined) {
    const { store, engine } = await classifier();
    return openClassifierFeatures(store, engine, dataset, shape);
  }
  const beside = features.replace(/\.onnx$/, '') + '.json';
  const config = featuresConfig ?? (existsSync(beside) ? beside : undefined);
  const options = parseOnnxFeatures(config === undefined ? {} : readJson(config), config ?? beside);
  return openOnnxFeatures(readFileSync(features), options, shape, availableParallelism());
}

function readJson(file: string): unknown {
  const text = readFileSync(file, 'utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ThawError('THAW_FEATURES_INVALID', `${file} is not JSON.`, { cause });
  }
}

export interface TrainFeaturesOptions {
  readonly storeUrl: string;
  readonly dataset: string;
  readonly size?: number;
  readonly epochs: number;
  readonly seed: number;
  readonly limit: number;
  readonly engine: EngineName;
}

export async function trainFeaturesCommand(options: TrainFeaturesOptions): Promise<Classifier> {
  const { dataset, size, epochs, seed, limit } = options;
  const store = await openStore(options.storeUrl);
  const engine = await openEngine({ kind: options.engine, workers: 1 });
  const progress = createProgress();
  try {
    return await trainFeatures(store, engine, { dataset, size, epochs, seed, limit }, (done, total, loss) =>
      progress.update({ done, total, text: `step ${done} of ${total}, loss ${loss.toFixed(4)}` }),
    );
  } finally {
    progress.end();
    await engine.close();
  }
}
