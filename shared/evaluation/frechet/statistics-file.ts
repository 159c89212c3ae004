/** Mean and covariance of features as a file: ours (safetensors), and the `mu` and `sigma` of pytorch-fid and its kin. Pure. */
import { ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors, encodeSafetensors } from '@thaw/shared/storage';
import type { FeatureNetwork } from '../features/extractor.js';
import type { FeatureStatistics } from './moments.js';
import type { NumpyArray } from './npy.js';

export interface StoredStatistics {
  /** `count` is 0 where the file does not say it. */
  readonly statistics: FeatureStatistics;
  /** Whose features they are; files of other programs do not say it. */
  readonly network?: Pick<FeatureNetwork, 'metric' | 'title' | 'sha256'>;
}

const format = 'thaw.feature-statistics/1';

/** Tensors `mu` F64 [dimensions] and `sigma` F64 [dimensions, dimensions]; count and network in the metadata. */
export function encodeStatistics(statistics: FeatureStatistics, network: FeatureNetwork): Uint8Array {
  const { dimensions, count, mean, covariance } = statistics;
  const { metric, title, sha256 } = network;
  return encodeSafetensors(
    {
      mu: { dtype: 'F64', shape: [dimensions], data: mean },
      sigma: { dtype: 'F64', shape: [dimensions, dimensions], data: covariance },
    },
    { format, count: `${count}`, metric, title, sha256 },
  );
}

/** @throws ThawError THAW_FEATURES_INVALID for anything but a file of {@link encodeStatistics} */
export function decodeStatistics(bytes: Uint8Array, file: string): StoredStatistics {
  const { tensors, metadata } = safetensorsOf(bytes, file);
  const { count, metric, title, sha256 } = metadata;
  if (metadata['format'] !== format || metric === undefined || title === undefined || sha256 === undefined)
    throw new ThawError('THAW_FEATURES_INVALID', `${file} does not hold statistics of features (${format}).`);
  const [mu, sigma] = ['mu', 'sigma'].map((name): NumpyArray | undefined => {
    const tensor = tensors[name];
    return tensor?.data instanceof Float64Array ? { shape: tensor.shape, data: tensor.data } : undefined;
  });
  return { statistics: statisticsFrom(mu, sigma, file, Number(count)), network: { metric, title, sha256 } };
}

function safetensorsOf(bytes: Uint8Array, file: string): ReturnType<typeof decodeSafetensors> {
  try {
    return decodeSafetensors(bytes);
  } catch (cause) {
    throw new ThawError('THAW_FEATURES_INVALID', `${file} is no safetensors file: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * @param count images, 0 if that is not known
 * @throws ThawError THAW_FEATURES_INVALID when the arrays are no mean and covariance
 */
export function statisticsFrom(
  mu: NumpyArray | undefined,
  sigma: NumpyArray | undefined,
  file: string,
  count = 0,
): FeatureStatistics {
  const invalid = (what: string): ThawError =>
    new ThawError('THAW_FEATURES_INVALID', `${file} ${what}.`, {
      cure: 'Statistics are an array "mu" [n] and an array "sigma" [n, n], as pytorch-fid saves them.',
    });
  if (mu === undefined || sigma === undefined) throw invalid(`has no array "${mu === undefined ? 'mu' : 'sigma'}"`);
  const [n = 0] = mu.shape;
  if (mu.shape.length !== 1 || n < 1 || sigma.shape.length !== 2 || sigma.shape.some((extent) => extent !== n))
    throw invalid(`has "mu" [${mu.shape.join(', ')}] and "sigma" [${sigma.shape.join(', ')}]`);
  if (!Number.isSafeInteger(count) || count < 0) throw invalid('does not say of how many images it is');
  if (!mu.data.every(Number.isFinite) || !sigma.data.every(Number.isFinite))
    throw invalid('holds values that are no numbers');
  const covariance = sigma.data.slice();
  for (let i = 0; i < n; i++) {
    if (covariance[i * n + i]! < 0) throw invalid(`has a negative variance in row ${i} of "sigma"`);
    for (let j = 0; j < i; j++) {
      const [a, b] = [covariance[i * n + j]!, covariance[j * n + i]!];
      if (Math.abs(a - b) > 1e-6 * (Math.abs(a) + Math.abs(b)) + 1e-12)
        throw invalid(`has a "sigma" that is not symmetric`);
      covariance[i * n + j] = covariance[j * n + i] = (a + b) / 2;
    }
  }
  return { dimensions: n, count, mean: mu.data.slice(), covariance };
}
