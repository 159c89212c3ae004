/** What an evaluation asks of a cluster's samplers, over HTTP. Any of them answers for any block. */
import type { ClusterOutlook, JobStatus } from '@thaw/sampler';
import { anyOf, callBytes, callJson, type ApiTarget } from '../api.js';

/** What estimates of are wanted. */
export interface OutlookQuery {
  readonly run?: string | undefined;
  readonly step?: number | undefined;
  readonly split: string;
  readonly sampler: string;
  readonly calls?: number | undefined;
  readonly seed: number;
}

/** Port. Errors are coded; THAW_SERVICE_UNREACHABLE when no sampler could be reached, or an answer broke off. */
export interface EstimateDoor {
  outlook(query: OutlookQuery): Promise<ClusterOutlook>;
  /** Sends a block. Sent again, it is the same job. */
  send(request: object): Promise<JobStatus>;
  /** Waits until the job is over, at most `waitMs`. */
  status(id: string, waitMs: number): Promise<JobStatus>;
  /** The file of one row. */
  row(id: string, row: number): Promise<Uint8Array>;
  /** Gives a block up, finished or not. */
  remove(id: string): Promise<void>;
}

const answerSlackMs = 20_000;
const removeTimeoutMs = 5000;

/**
 * @param targets the samplers as they are known now; asked anew for each call, since one that was started again has another address
 * @param signal breaks calls off, but for those that send or remove a block
 */
export function estimateDoor(targets: () => readonly ApiTarget[], signal?: AbortSignal): EstimateDoor {
  let turn = 0;
  /** Each call begins with another sampler. */
  const any = <T>(attempt: (target: ApiTarget) => Promise<T>): Promise<T> => {
    const all = targets();
    const first = all.length === 0 ? 0 : turn++ % all.length;
    return anyOf([...all.slice(first), ...all.slice(0, first)], attempt);
  };
  return {
    outlook(query) {
      const fields = Object.entries(query).filter(([, value]) => value !== undefined);
      const search = new URLSearchParams(fields.map(([name, value]): [string, string] => [name, String(value)]));
      // A first call loads the weights.
      return any((target) => callJson(target, `/v1/estimates?${search}`, { timeoutMs: 120_000, signal }));
    },
    // Not broken off: a block whose id is not known cannot be removed.
    send: (json) => any((target) => callJson(target, '/v1/jobs', { json, timeoutMs: 120_000 })),
    status: (id, waitMs) =>
      any((target) =>
        callJson(target, `/v1/jobs/${id}?waitMs=${waitMs}`, { timeoutMs: waitMs + answerSlackMs, signal }),
      ),
    row: (id, row) => any((target) => callBytes(target, `/v1/jobs/${id}/images/${row}.safetensors`, { signal })),
    async remove(id) {
      await any((target) => callJson(target, `/v1/jobs/${id}`, { method: 'DELETE', timeoutMs: removeTimeoutMs }));
    },
  };
}
