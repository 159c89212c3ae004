import {
  decodeMessage,
  encodeMessage,
  EvaluateRequestSchema,
  EvaluateResultSchema,
  samplerSubjects,
  type EvaluateResult,
} from '@thaw/shared/protocol';
import { silentLogger, systemClock, VirtualClock } from '@thaw/shared/runtime';
import {
  appendRecord,
  getBlob,
  MemoryStore,
  promote,
  readHead,
  readLog,
  rollback,
  writeCheckpoint,
  type ChannelRecord,
  type StateTensor,
} from '@thaw/shared/storage';
import { MemoryBroker } from '@thaw/shared/transport';
import { beforeEach, describe, expect, test } from 'vitest';
import { judge } from '../gate/index.js';
import { Gate } from './gate.js';
import { Promotion } from './promotion.js';

const all = (sampled: number) => ({ degraded: 0.3, black: 0.4, mean: 0.25, direct: 0.1, sampled });
const scores = (step: number, rmse: number, ssim: number, changes: Partial<EvaluateResult> = {}): EvaluateResult => ({
  format: 'thaw.evaluation/1',
  ...{ run: 'small', step, manifestSha256: 'a'.repeat(64), dataset: 'digits', split: 'test', count: 64, severity: 8 },
  l1: { ...all(rmse), ratio: rmse / 0.25 },
  rmse: { ...all(rmse), ratio: rmse / 0.25 },
  ssim: all(ssim),
  psnr: all(20),
  ...{ sampler: 'sampler-1', evaluatedMs: 0, durationMs: 1 },
  ...changes,
});

describe('the rule', () => {
  test.each<[string, boolean, number, number]>([
    ['better', true, 0.09, 0.9],
    ['worse within the margin', true, 0.1019, 0.781],
    ['an RMSE beyond the margin', false, 0.1021, 0.9],
    ['an SSIM beyond the margin', false, 0.05, 0.779],
    ['an RMSE that is no number', false, NaN, 0.9],
    ['an SSIM that is no number', false, 0.09, NaN],
  ])('against the checkpoint served: %s', (_what, admitted, rmse, ssim) => {
    expect(judge(scores(20, rmse, ssim), scores(10, 0.1, 0.8), 0.02).admitted).toBe(admitted);
  });

  test('the first must beat what costs nothing', () => {
    expect(judge(scores(10, 0.25, 0.1), null, 0.02).admitted).toBe(true);
    expect(judge(scores(10, 0.2501, 0.9), null, 0.02)).toMatchObject({
      admitted: false,
      reason: 'RMSE 0.25010, best without a network 0.25000',
    });
  });

  test.each([{ dataset: 'letters' }, { split: 'train' }, { count: 32 }, { severity: 4 }])(
    'other images or tasks are not compared: %o',
    (changes) => {
      const verdict = judge(scores(20, 0.01, 0.99, changes), scores(10, 0.1, 0.8), 0.02);
      expect(verdict).toMatchObject({ admitted: false, checks: [{ name: 'comparable' }] });
    },
  );
});

describe('the rule on intervals', () => {
  const count = 64;
  /** Scores of single images around a level: the same images are hard for both. */
  const apart = (step: number, error: number, likeness: number, spread = 0): EvaluateResult => {
    const image = (i: number): number => 1 + 0.5 * Math.sin(i) + spread * Math.cos(7 * i + step);
    const square = Array.from({ length: count }, (_, i) => (error * image(i)) ** 2);
    const ssim = Array.from({ length: count }, (_, i) => likeness * (1 - 0.1 * image(i)));
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value) / count;
    return scores(step, Math.sqrt(mean(square)), mean(ssim), { perImage: { square, ssim } });
  };
  const served = apart(10, 0.1, 0.9);

  test.each<[string, boolean, EvaluateResult]>([
    ['equal', true, apart(20, 0.1, 0.9)],
    ['better', true, apart(20, 0.08, 0.95)],
    ['worse within the margin, on every image alike', true, apart(20, 0.1015, 0.9)],
    ['worse beyond the margin', false, apart(20, 0.103, 0.9)],
    ['an SSIM beyond the margin', false, apart(20, 0.1, 0.87)],
    // Its mean is within the margin; on other images it might not be.
    ['as good by chance', false, apart(20, 0.0995, 0.9, 0.3)],
  ])('%s', (_what, admitted, candidate) => {
    const verdict = judge(candidate, served, 0.02);
    expect(verdict.admitted).toBe(admitted);
    for (const { difference } of verdict.checks) {
      expect(difference!.low).toBeLessThanOrEqual(difference!.value + 1e-12);
      expect(difference!.high).toBeGreaterThanOrEqual(difference!.value - 1e-12);
    }
    expect(judge(candidate, served, 0.02)).toEqual(verdict); // whoever recomputes it
  });

  test('what is as good by chance would have passed by its means', () => {
    const { perImage: _, ...means } = apart(20, 0.0995, 0.9, 0.3);
    expect(judge(means, served, 0.02).admitted).toBe(true);
    expect(judge(apart(20, 0.0995, 0.9, 0.3), served, 0.02).reason).toMatch(
      /^RMSE 0\.\d{5}, 0\.10\d{3} for step 10: difference -?0\.\d{5} \(-?0\.\d{5} to 0\.\d{5}\), at most 0\.00\d{3} allowed$/,
    );
  });

  test('scores of other numbers of images are not compared', () => {
    const short = { ...served, perImage: { square: [0.01], ssim: [0.9] } };
    expect(judge(short, served, 0.02)).toMatchObject({ admitted: false, checks: [{ name: 'comparable' }] });
  });
});

describe('a gated channel', () => {
  let store: MemoryStore;
  let manifests: Map<number, string>;
  let moves: number;
  let whileEvaluating: () => Promise<unknown>;
  /** RMSE and SSIM by step. */
  const quality: Record<number, [number, number]> = { 10: [0.1, 0.8], 20: [0.2, 0.8], 30: [0.08, 0.85] };
  const scored = (step: number): EvaluateResult =>
    scores(step, ...quality[step]!, { manifestSha256: manifests.get(step)! });
  const gate = (): Gate =>
    new Gate({
      ...{ channel: 'stable', margin: 0.02, store, clock: new VirtualClock(), logger: silentLogger },
      evaluate: async (_run, step) => {
        await whileEvaluating();
        return scored(step);
      },
      onMoved: () => void moves++,
    });
  const log = async (): Promise<ChannelRecord[]> => {
    const records = [];
    for await (const { record } of readLog(store, 'stable')) records.push(record);
    return records;
  };
  const summary = async () => (await log()).map(({ action, step, head }) => [action, step, head?.step]);

  beforeEach(async () => {
    store = new MemoryStore();
    manifests = new Map();
    moves = 0;
    whileEvaluating = () => Promise.resolve();
    for (const step of [10, 20, 30]) {
      const floats = (): StateTensor => ({ dtype: 'F32', shape: [1], data: Float32Array.of(step) });
      const { manifestSha256 } = await writeCheckpoint(
        store,
        {
          ...{ run: 'small', parent: null, configSha256: 'c'.repeat(64), fingerprint: 'f', createdMs: 0 },
          dataset: { name: 'digits', sha256: 'd'.repeat(64) },
        },
        {
          ...{ step, epoch: 0, stepOfEpoch: step, beta1Product: 1, beta2Product: 1, historyDigest: 'ab'.repeat(32) },
          skippedInARow: 0,
          tensors: {
            ...{ 'weights/w': floats(), 'ema/w': floats(), 'adam.m/w': floats(), 'adam.v/w': floats() },
            'exponents/w': { dtype: 'I8', shape: [1], data: Int8Array.of(-7) },
          },
        },
        1,
      );
      manifests.set(step, manifestSha256);
    }
  });

  test('lets in what is good enough and refuses the rest; every record names its evidence', async () => {
    for (const step of [10, 20, 30]) await gate().decide(scored(step));
    expect(await summary()).toEqual([
      ['promote', 10, 10],
      ['refuse', 20, 10],
      ['promote', 30, 30],
    ]);
    expect(moves).toBe(2);
    const refusal = (await log())[1]!;
    expect(refusal).toMatchObject({ actor: 'policy:gated', reason: 'RMSE 0.20000, allowed after step 10 0.10200' });
    expect(JSON.parse(new TextDecoder().decode(await getBlob(store, refusal.evidence!)))).toEqual({
      ...{ format: 'thaw.gate/1', channel: 'stable', margin: 0.02, candidate: scored(20), served: scored(10) },
      ...judge(scored(20), scored(10), 0.02),
    });
  });

  test('asked twice, or after a rollback, decides once', async () => {
    for (const step of [10, 30]) await gate().decide(scored(step));
    await rollback(store, 'stable', { actor: 'somebody', timeMs: 1 });
    for (const step of [30, 20, 10]) await gate().decide(scored(step));
    expect(await summary()).toEqual([
      ['promote', 10, 10],
      ['promote', 30, 30],
      ['rollback', 10, 10],
    ]);
  });

  test('a decision about a head that was moved meanwhile is not recorded', async () => {
    await gate().decide(scored(10));
    whileEvaluating = () =>
      promote(store, 'stable', { run: 'small', step: 20 }, { actor: 'somebody', timeMs: 1, reason: 'by hand' });
    await expect(gate().decide(scored(30))).rejects.toMatchObject({ code: 'THAW_CHANNEL_MOVED' });
    whileEvaluating = () => Promise.resolve();
    await gate().decide(scored(30));
    expect(await summary()).toEqual([
      ['promote', 10, 10],
      ['promote', 20, 20],
      ['promote', 30, 30],
    ]);
  });

  test('scores of another manifest decide nothing', async () => {
    const decision = gate().decide({ ...scored(10), manifestSha256: 'e'.repeat(64) });
    await expect(decision).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_INVALID' });
    expect(await readHead(store, 'stable')).toBeUndefined();
  });

  test('a checkpoint evaluated on another data set than it was trained on is refused', async () => {
    await gate().decide({ ...scored(10), dataset: 'letters' });
    expect(await log()).toMatchObject([
      { action: 'refuse', step: 10, head: null, reason: 'trained on digits, evaluated on letters' },
    ]);
  });

  test('a served checkpoint that is not what the log names is not compared with', async () => {
    const draft = { action: 'promote', run: 'small', step: 10, manifestSha256: 'e'.repeat(64) } as const;
    await appendRecord(store, 'stable', { ...draft, actor: 'somebody', timeMs: 1 });
    await expect(gate().decide(scored(30))).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_INVALID' });
    expect(await summary()).toEqual([['promote', 10, 10]]);
  });

  test('is asked after each evaluation of a committed checkpoint, with scores from the samplers', async () => {
    const broker = new MemoryBroker(systemClock);
    const asked: number[] = [];
    const sampler = broker.connectControl({ name: 'sampler-1' });
    sampler.serve(samplerSubjects.evaluate, (bytes) => {
      const { step, count } = decodeMessage(EvaluateRequestSchema, bytes);
      expect(count).toBe(64);
      asked.push(step);
      return encodeMessage(EvaluateResultSchema, scored(step));
    });
    await sampler.flush();
    let stableMoved!: () => void;
    const promotion = new Promotion({
      ...{ run: 'small', channel: 'latest', store, control: broker.connectControl({ name: 'coordinator' }) },
      ...{ clock: systemClock, logger: silentLogger, evaluationImages: 64 },
      gated: { channel: 'stable', margin: 0.02 },
      onMoved: (channel) => channel === 'stable' && stableMoved(),
      onEvaluated: () => {},
    });
    for (const step of [10, 30]) {
      const moved = new Promise<void>((resolve) => (stableMoved = resolve));
      promotion.committed(step);
      await moved;
    }
    await promotion.stop();
    expect(asked).toEqual([10, 30, 10]);
    expect(await summary()).toEqual([
      ['promote', 10, 10],
      ['promote', 30, 30],
    ]);
    expect((await readHead(store, 'latest'))?.serving?.step).toBe(30);
  });
});
