/** Where the samplers of a running cluster are. */
import { resolve } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import type { ApiTarget } from './api.js';
import { readClusterFile, requireCluster } from './cluster-file.js';

/** How long what the cluster's file said counts. */
const freshMs = 1000;

/**
 * The samplers of the local cluster on a folder, as its file names them: one that was started again may have another address.
 * @throws ThawError THAW_CLUSTER_NOT_FOUND, THAW_SERVICE_UNREACHABLE for a cluster without samplers
 */
export function clusterSamplers(dir: string): () => readonly ApiTarget[] {
  if (requireCluster(dir).samplers.length === 0)
    throw new ThawError('THAW_SERVICE_UNREACHABLE', `The cluster on ${resolve(dir)} has no samplers.`, {
      cure: 'Start it with --samplers 1 or more, or leave --cluster out: then this process does the work.',
    });
  let known: readonly ApiTarget[] = [];
  let readMs = -Infinity;
  return () => {
    const nowMs = performance.now();
    if (nowMs - readMs < freshMs) return known;
    readMs = nowMs;
    const cluster = readClusterFile(dir);
    known = cluster?.samplers.map(({ url }) => ({ url, token: cluster.token })) ?? [];
    return known;
  };
}

/**
 * Samplers by address.
 * @param token bearer token; samplers on loopback may do without
 * @throws ThawError THAW_USAGE_INVALID for what is no HTTP address
 */
export function samplersAt(urls: readonly string[], token = ''): () => readonly ApiTarget[] {
  for (const url of urls)
    if (!URL.canParse(url) || !['http:', 'https:'].includes(new URL(url).protocol))
      throw new ThawError('THAW_USAGE_INVALID', `--url: "${url.slice(0, 200)}" is no address of an HTTP service.`, {
        cure: 'Give the address of a sampler, like http://127.0.0.1:8081.',
      });
  const targets = urls.map((url) => ({ url, token }));
  return () => targets;
}
