import { describe, expect, it } from 'vitest';
import type { Estimate } from '@thaw/shared/evaluation';
import { ThawError, type ErrorCode } from '@thaw/shared/protocol';
import { VirtualClock } from '@thaw/shared/runtime';
import type { ClusterOutlook, JobStatus } from '@thaw/sampler';
import { encodeEstimate } from '../../../services/sampler/evaluation/index.js';
import { clusterEstimates, type ClusterEstimates } from './index.js';
import type { EstimateDoor } from './door.js';

const shape = { height: 2, width: 1, channels: 1 };
const severities = [2, 1];
const outlook: ClusterOutlook = {
  origin: {
    ...{ run: 'demo', step: 4, manifestSha256: 'a'.repeat(64), fingerprint: 'f'.repeat(64), dataset: 'fake' },
    ...{ split: 'test', family: 'blur', sampler: 'algorithm2', severities, seed: 5 },
  },
  shape,
  available: 10,
  blockSize: 2,
  samplers: 2,
};
const estimateOf = (image: number): Estimate => {
  const flat = (value: number): Float32Array => Float32Array.of(image + value, value);
  return {
    ...{ original: flat(0), degraded: flat(0.1), direct: flat(0.2), sampled: flat(0.3) },
    ...{ firstUpdate: flat(0.4), lastEstimate: flat(0.5) },
    errors: severities.map((severity) => ({ severity, state: severity / 3, estimate: image / 7 })),
  };
};
const failing = (code: ErrorCode, details?: Record<string, unknown>): ThawError =>
  new ThawError(code, 'as the test wants it', details === undefined ? {} : { details });

interface Block {
  readonly first: number;
  readonly key: string;
  polls: number;
}
type Call = 'send' | 'status' | 'row' | 'remove';

/** Samplers that finish a block at the second look, and fail as the test tells them: one entry for each call of a kind. */
class FakeDoor implements EstimateDoor {
  readonly blocks = new Map<string, Block>();
  readonly removed: string[] = [];
  /** What becomes of the next calls; undefined goes well. */
  readonly fate: Record<Call, (Error | Partial<JobStatus> | Uint8Array | 'lost' | undefined)[]> = {
    send: [],
    status: [],
    row: [],
    remove: [],
  };
  calls: Record<Call, number> = { send: 0, status: 0, row: 0, remove: 0 };
  fewestOpen = Infinity;

  outlook = async (): Promise<ClusterOutlook> => outlook;

  async send(request: object): Promise<JobStatus> {
    const { count, evaluation } = request as { count: number; evaluation: { first: number; key: string } };
    const id = evaluation.key;
    const known = this.blocks.get(id);
    this.blocks.set(id, known ?? { ...evaluation, polls: 0 });
    return this.#meet('send', () => ({ id, state: 'running', count }) as JobStatus);
  }
  status(id: string): Promise<JobStatus> {
    return this.#meet('status', () => {
      const block = this.blocks.get(id)!;
      return { id, state: ++block.polls > 1 ? 'done' : 'running' } as JobStatus;
    });
  }
  row(id: string, row: number): Promise<Uint8Array> {
    const image = this.blocks.get(id)!.first + row;
    return this.#meet('row', () => encodeEstimate(estimateOf(image), image, shape));
  }
  async remove(id: string): Promise<void> {
    await this.#meet('remove', () => undefined);
    this.removed.push(id);
    this.fewestOpen = Math.min(this.fewestOpen, this.blocks.size - this.removed.length);
  }

  async #meet<T>(call: Call, well: () => T): Promise<T> {
    this.calls[call]++;
    const fate = this.fate[call].shift();
    if (fate === undefined) return well();
    if (fate === 'lost') well(); // done, but nobody hears of it
    if (fate === 'lost') throw failing('THAW_SERVICE_UNREACHABLE');
    if (fate instanceof Error) throw fate;
    return fate as T;
  }
}

interface World {
  readonly door: FakeDoor;
  readonly clock: VirtualClock;
  readonly source: ClusterEstimates;
}
const world = async (stop?: AbortSignal): Promise<World> => {
  const door = new FakeDoor();
  const clock = new VirtualClock();
  let drawn = 0;
  const entropy = { bytes: (n: number) => new Uint8Array(n).fill(++drawn) };
  const parts = { door, clock, entropy, ...(stop === undefined ? {} : { signal: stop }) };
  return { door, clock, source: await clusterEstimates(parts, { split: 'test', sampler: 'algorithm2', seed: 5 }) };
};
/** Lets time pass until `work` is settled. */
async function settled<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let over = false;
  const watched = work.finally(() => (over = true));
  watched.catch(() => undefined);
  while (!over) {
    for (let turn = 0; turn < 50 && !over; turn++) await Promise.resolve();
    if (!over) clock.advance(1000);
  }
  return watched;
}
const expected = [estimateOf(4), estimateOf(5)];

describe('estimates by samplers', () => {
  it('are those of the blocks, one asked for on top of one for each sampler', async () => {
    const { source, clock, door } = await world();
    expect([source.origin, source.available, source.blocksAtOnce]).toEqual([outlook.origin, 10, 3]);
    expect(await settled(clock, source.estimates([4, 5]))).toEqual(expected);
    expect([...door.blocks.values()]).toMatchObject([{ first: 4 }]);
  });

  it('are asked for again when an answer is lost, in whatever call, without another block', async () => {
    const { source, clock, door } = await world();
    door.fate.send.push('lost', failing('THAW_QUEUE_FULL', { retryAfterSeconds: 7 }), failing('THAW_DRAINING'));
    door.fate.status.push('lost', undefined, failing('THAW_MODEL_NOT_READY'));
    door.fate.row.push('lost', undefined, failing('THAW_SERVICE_UNREACHABLE'), failing('THAW_STORE_UNAVAILABLE'));
    expect(await settled(clock, source.estimates([4, 5]))).toEqual(expected);
    expect(door.blocks.size).toBe(1);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(9000); // the seven seconds that were asked for, and the pauses
  });

  it('are computed anew when a block fails, ends or cannot be read, three times at most', async () => {
    const torn = encodeEstimate(estimateOf(4), 4, shape).subarray(0, -3);
    const swapped = encodeEstimate(estimateOf(9), 9, shape);
    const flipped = encodeEstimate(estimateOf(4), 4, shape);
    flipped[flipped.length - 1]! ^= 1;
    for (const [call, ...fates] of [
      ['status', { state: 'failed', code: 'THAW_ENGINE_FAILED', message: 'stumbled' }],
      ['status', { state: 'expired', code: 'THAW_DEADLINE_EXPIRED' }],
      ['status', failing('THAW_JOB_NOT_FOUND')],
      ['row', failing('THAW_JOB_ENDED')],
      ['row', torn, undefined, torn],
      ['row', flipped, undefined, flipped],
      ['row', swapped, undefined, swapped],
    ] as [Call, ...(Error | Partial<JobStatus> | Uint8Array | undefined)[]][]) {
      const { source, clock, door } = await world();
      door.fate[call].push(...fates);
      expect(await settled(clock, source.estimates([4, 5]))).toEqual(expected);
      expect(door.blocks.size).toBe(2);
      expect(door.removed).toEqual([[...door.blocks.keys()][0]]);
    }
    const { source, clock, door } = await world();
    door.fate.status.push(...Array(3).fill({ state: 'failed', code: 'THAW_ENGINE_FAILED', message: 'stumbled' }));
    await expect(settled(clock, source.estimates([4, 5]))).rejects.toMatchObject({
      code: 'THAW_ENGINE_FAILED',
      message: 'A block is failed: stumbled',
    });
    expect(door.blocks.size).toBe(3);
  });

  it('read a row once more before they give its block up', async () => {
    const { source, clock, door } = await world();
    door.fate.row.push(new Uint8Array(9));
    expect(await settled(clock, source.estimates([4, 5]))).toEqual(expected);
    expect([door.blocks.size, door.calls.row]).toEqual([1, 3]);
  });

  it('are refused for good where the checkpoint is not the one', async () => {
    for (const fate of [
      failing('THAW_CHECKPOINT_NOT_FOUND'),
      failing('THAW_CHECKPOINT_INVALID'),
      failing('THAW_UNAUTHORIZED'),
    ]) {
      const { source, clock, door } = await world();
      door.fate.send.push(fate);
      await expect(settled(clock, source.estimates([4, 5]))).rejects.toBe(fate);
    }
    const { source, clock, door } = await world();
    door.fate.status.push({ state: 'failed', code: 'THAW_CHECKPOINT_INVALID', message: 'Another one' });
    await expect(settled(clock, source.estimates([4, 5]))).rejects.toThrow('Another one');
    expect(door.blocks.size).toBe(1);
  });

  it('wait for a sampler that computes the bits of the evaluation, two minutes', async () => {
    const unfit: Partial<JobStatus> = { state: 'failed', code: 'THAW_FINGERPRINT_MISMATCH', message: 'No sampler' };
    const back = await world();
    back.door.fate.send.push(failing('THAW_FINGERPRINT_MISMATCH'));
    back.door.fate.status.push(...Array<typeof unfit>(5).fill(unfit));
    expect(await settled(back.clock, back.source.estimates([4, 5]))).toEqual(expected);
    expect([back.door.blocks.size, back.door.removed.length]).toEqual([6, 5]);
    const gone = await world();
    gone.door.fate.status.push(...Array<typeof unfit>(1000).fill(unfit));
    await expect(settled(gone.clock, gone.source.estimates([4, 5]))).rejects.toMatchObject({
      code: 'THAW_FINGERPRINT_MISMATCH',
    });
    expect(gone.clock.nowMs()).toBeGreaterThanOrEqual(120_000);
  });

  it('wait for samplers that are gone two minutes, and for a full queue without end', async () => {
    const gone = await world();
    gone.door.fate.status.push(...Array<Error>(1000).fill(failing('THAW_SERVICE_UNREACHABLE')));
    await expect(settled(gone.clock, gone.source.estimates([4, 5]))).rejects.toMatchObject({
      code: 'THAW_SERVICE_UNREACHABLE',
    });
    expect(gone.clock.nowMs()).toBeGreaterThanOrEqual(120_000);
    expect(gone.clock.nowMs()).toBeLessThan(130_000);
    const full = await world();
    full.door.fate.send.push(...Array<Error>(1000).fill(failing('THAW_QUEUE_FULL')));
    expect(await settled(full.clock, full.source.estimates([4, 5]))).toEqual(expected);
  });

  it('hold the checkpoint by an open block from the first to the last, and leave none behind', async () => {
    const { source, clock, door } = await world();
    const [first, second] = [source.estimates([0, 1]), source.estimates([2, 3])];
    await settled(clock, first);
    await settled(clock, second);
    expect(door.removed).toEqual([]);
    await settled(clock, source.estimates([4, 5]));
    expect(door.removed).toHaveLength(2);
    expect(door.fewestOpen).toBe(1);
    door.fate.remove.push(failing('THAW_SERVICE_UNREACHABLE')); // its own business: it expires
    await source.close();
    expect(door.calls.remove).toBe(3);
  });

  it('give up a block that was being sent when all was over', async () => {
    const { source, clock, door } = await world();
    let arrive!: () => void;
    const send = door.send.bind(door);
    door.send = async (request) => {
      await new Promise<void>((resolve) => (arrive = resolve));
      return send(request);
    };
    const work = source.estimates([4, 5]);
    work.catch(() => undefined);
    const closing = source.close();
    arrive();
    await expect(settled(clock, work)).rejects.toMatchObject({ code: 'THAW_ENGINE_ABORTED' });
    await settled(clock, closing);
    expect(door.removed).toEqual([...door.blocks.keys()]);
  });

  it('say what is wrong with the address or the token', async () => {
    const door = new FakeDoor();
    const parts = { door, clock: new VirtualClock(), entropy: { bytes: (n: number) => new Uint8Array(n) } };
    const query = { split: 'test', sampler: 'algorithm2', seed: 5 };
    door.outlook = async () => Promise.reject(failing('THAW_NOT_FOUND'));
    await expect(clusterEstimates(parts, query)).rejects.toMatchObject({
      code: 'THAW_SERVICE_UNREACHABLE',
      cure: expect.stringContaining('not of the coordinator'),
    });
    door.outlook = async () => Promise.reject(failing('THAW_UNAUTHORIZED'));
    await expect(clusterEstimates(parts, query)).rejects.toMatchObject({ cure: expect.stringContaining('THAW_TOKEN') });
  });

  it('stop when they are told to, and give up what is under way', async () => {
    const stop = new AbortController();
    const { source, clock, door } = await world(stop.signal);
    door.fate.status.push(failing('THAW_SERVICE_UNREACHABLE'));
    const work = source.estimates([4, 5]);
    work.catch(() => undefined);
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    expect(door.calls.status).toBe(1);
    const reason = failing('THAW_ENGINE_ABORTED');
    stop.abort(reason);
    await expect(settled(clock, work)).rejects.toBe(reason);
    await source.close();
    expect(door.removed).toHaveLength(1);
  });
});
