/** `thaw frechet`: the Frechet distance of any two sets of images, such as generated ones and a data set (with Inception: FID). */
import { writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Engine } from '@thaw/shared/engine';
import { openEngine } from '@thaw/shared/engine';
import {
  encodeStatistics,
  frechetDistance,
  type FeatureExtractor,
  type FeatureStatistics,
  type StoredStatistics,
} from '@thaw/shared/evaluation';
import { ThawError, type EngineName } from '@thaw/shared/protocol';
import { openStore } from '@thaw/shared/storage';
import { makeFolder } from '../terminal/output-files.js';
import { createProgress } from '../terminal/progress.js';
import { datasetOf, openSide, statisticsOf, type FeatureSide, type Images, type SideOptions } from './feature-side.js';
import { openFeatures, type FeaturesChoice } from './features.js';

export interface FrechetOptions extends FeaturesChoice, SideOptions {
  readonly storeUrl: string;
  readonly images: string;
  /** Nothing is compared without one; for `save`. */
  readonly reference?: string;
  /** Statistics of `images` are written there. */
  readonly save?: string;
  readonly engine: EngineName;
}
export interface FrechetSideReport {
  readonly source: string;
  /** Absent for statistics that do not say it. */
  readonly count?: number;
  readonly unusable?: number;
  readonly firstUnusable?: string;
}
export interface FrechetReport {
  readonly distance?: number;
  /** What it may be called: `fid` for the standard network only; `frechet` where statistics do not say whose they are. */
  readonly metric: string;
  readonly title: string;
  readonly network?: string;
  readonly dimensions: number;
  readonly images: FrechetSideReport;
  readonly reference?: FrechetSideReport;
  readonly saved?: string;
}

interface Measured {
  readonly statistics: FeatureStatistics;
  readonly network: StoredStatistics['network'];
  readonly report: FrechetSideReport;
}

/** @throws ThawError THAW_USAGE_INVALID, THAW_FEATURES_MISSING, THAW_FEATURES_INVALID, and what reading the images throws */
export async function frechet(options: FrechetOptions): Promise<FrechetReport> {
  const { images, reference, save } = options;
  if (reference === undefined && save === undefined)
    throw new ThawError('THAW_USAGE_INVALID', 'One set of images was given, and nothing to do with it.', {
      cure: 'Give a second one to compare it with, or --save <file> to keep its statistics.',
    });
  if (save !== undefined) makeFolder(dirname(resolve(save))); // before the work
  const store = (): ReturnType<typeof openStore> => openStore(options.storeUrl);
  const sources = [images, ...(reference === undefined ? [] : [reference])];
  // Whatever cannot be read is said before any network is called.
  const sides: FeatureSide[] = [];
  for (const source of sources) sides.push(await openSide(source, store, options));
  const [side] = sides;
  if (save !== undefined && side !== undefined && 'stored' in side && side.stored.network === undefined)
    throw new ThawError(
      'THAW_USAGE_INVALID',
      `--save: ${images} holds statistics already, of a network that is not named.`,
    );
  const dataset = sources.map(datasetOf).find((found) => found !== undefined)?.name;
  if (options.size !== undefined && dataset === undefined)
    throw new ThawError('THAW_USAGE_INVALID', '--size: only images of a data set are cut.', {
      cure: 'Leave --size out, or pack the images first.',
    });
  let engine: Engine | undefined;
  const extractorFor = (shape: Images['shape']): Promise<FeatureExtractor> => {
    if (options.features === undefined && dataset === undefined)
      throw new ThawError(
        'THAW_FEATURES_MISSING',
        'No network of features was given, and no data set with a classifier.',
        {
          cure: 'Give --features <file>.onnx, or name a data set: dataset:<name>/test.',
        },
      );
    const classifier = async () => {
      engine ??= await openEngine({ kind: options.engine, workers: 1 });
      return { store: await store(), engine };
    };
    return openFeatures(classifier, dataset ?? '', shape, options);
  };
  const progress = createProgress();
  const measure = async (side: FeatureSide, source: string): Promise<Measured> => {
    if ('stored' in side) {
      const { statistics, network } = side.stored;
      return {
        statistics,
        network,
        report: { source, ...(statistics.count === 0 ? {} : { count: statistics.count }) },
      };
    }
    const extractor = await extractorFor(side.images.shape);
    const { statistics, unusable, firstUnusable } = await statisticsOf(side.images, extractor, source, (done, total) =>
      progress.update({ done, total, text: `${source}: ${done} of ${total} images` }),
    );
    const bad = unusable === 0 ? {} : { unusable, firstUnusable: firstUnusable! };
    return { statistics, network: extractor, report: { source, count: statistics.count, ...bad } };
  };
  try {
    const [first, second] = [
      await measure(sides[0]!, images),
      reference === undefined ? undefined : await measure(sides[1]!, reference),
    ];
    if (second !== undefined) checkComparable(first, second);
    const network = first.network ?? second?.network;
    const report: FrechetReport = {
      ...(second === undefined ? {} : { distance: frechetDistance(first.statistics, second.statistics) }),
      metric: network?.metric ?? 'frechet',
      title: network?.title ?? 'Frechet distance on features of a network that is not named',
      ...(network === undefined ? {} : { network: network.sha256 }),
      dimensions: first.statistics.dimensions,
      images: first.report,
      ...(second === undefined ? {} : { reference: second.report }),
    };
    if (save === undefined) return report;
    const { metric, title, sha256 } = first.network!;
    writeFileSync(save, encodeStatistics(first.statistics, { metric, title, sha256, dimensions: report.dimensions }));
    return { ...report, saved: resolve(save) };
  } finally {
    progress.end();
    await engine?.close();
  }
}

function checkComparable(a: Measured, b: Measured): void {
  const [n, m] = [a.statistics.dimensions, b.statistics.dimensions];
  const other = a.network !== undefined && b.network !== undefined && a.network.sha256 !== b.network.sha256;
  if (n !== m || other)
    throw new ThawError(
      'THAW_FEATURES_INVALID',
      `${a.report.source} and ${b.report.source} are of features of two networks${n === m ? '' : `, with ${n} and ${m} dimensions`}.`,
      { cure: 'Take both on the same network.' },
    );
}

export function frechetText({ distance, title, dimensions, images, reference, saved }: FrechetReport): string {
  const side = ({ source, count, unusable, firstUnusable }: FrechetSideReport): string =>
    `${source}: ${count === undefined ? 'an unknown number of' : count} images` +
    (unusable === undefined ? '' : ` (${unusable} unusable, the first ${firstUnusable})`);
  const few = [images, reference].filter((set) => set?.count !== undefined && set.count <= dimensions);
  return [
    ...(distance === undefined ? [] : [`${title}: ${distance.toFixed(4)}`]),
    side(images),
    ...(reference === undefined ? [] : [side(reference)]),
    ...few.map((set) => `${set!.source} has no more images than features (${dimensions}): the distance is too large.`),
    ...(saved === undefined ? [] : [`Written: ${saved}`]),
  ].join('\n');
}
