import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { writeCheckpoint } from '../checkpoints/index.js';
import { fields, smallState } from '../checkpoints/state.fixture.js';
import type { ObjectStore } from '../store/index.js';
import { MemoryStore } from '../store/index.js';
import type { ChannelRecord } from './index.js';
import {
  appendRecord,
  headKey,
  isServing,
  listChannels,
  promote,
  readHead,
  readLog,
  rebuildHead,
  recordKey,
  recordSigner,
  recordVerifier,
  refuse,
  rollback,
  servedAt,
  verifyChain,
} from './index.js';
import { canonicalJson, encodeRecord } from './record.js';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const by = (timeMs: number) => ({ actor: 'tester', timeMs });
const draft = (step: number, timeMs = step) =>
  ({ action: 'promote', run: 'trial', step, manifestSha256: 'a'.repeat(64), ...by(timeMs) }) as const;

async function storeWith(...steps: number[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const step of steps) await writeCheckpoint(store, fields, smallState(step), 1);
  return store;
}

async function records(store: ObjectStore, channel = 'stable'): Promise<ChannelRecord[]> {
  const all = [];
  for await (const { record } of readLog(store, channel)) all.push(record);
  return all;
}

const servedStep = async (store: ObjectStore): Promise<number | undefined> =>
  (await readHead(store, 'stable'))?.serving?.step;

describe('channels', () => {
  test('promote, refuse and roll back, each a record', async () => {
    const store = await storeWith(10, 20, 30);
    expect(await readHead(store, 'stable')).toBeUndefined();
    await promote(store, 'stable', { run: 'trial', step: 10 }, by(1));
    const second = await promote(
      store,
      'stable',
      { run: 'trial', step: 20 },
      { ...by(2), reason: 'better', evidence: 'e'.repeat(64) },
    );
    await refuse(store, 'stable', { run: 'trial', step: 30 }, { ...by(3), reason: 'worse' });
    expect(await servedStep(store)).toBe(20);
    expect(await isServing(store, 'stable', second.record.head!)).toBe(true);
    await rollback(store, 'stable', by(4));
    expect(await servedStep(store)).toBe(10);
    const log = await records(store);
    expect(log.map(({ seq, action, step, head }) => [seq, action, step, head?.step])).toEqual([
      [1, 'promote', 10, 10],
      [2, 'promote', 20, 20],
      [3, 'refuse', 30, 20],
      [4, 'rollback', 10, 10],
    ]);
    expect(log[2]!.previous).toBe(second.sha256);
    expect(await verifyChain(store, 'stable')).toMatchObject({ ok: true, records: 4, problems: [], head: { seq: 4 } });
    expect(await listChannels(store)).toEqual(['stable']);
  });

  test('several rollbacks go further back; there is an end to it', async () => {
    const store = await storeWith(10, 20, 30, 40);
    for (const step of [10, 20, 30]) await promote(store, 'stable', { run: 'trial', step }, by(step));
    await rollback(store, 'stable', by(41));
    expect(await servedStep(store)).toBe(20);
    await promote(store, 'stable', { run: 'trial', step: 40 }, by(42));
    await rollback(store, 'stable', by(43));
    expect(await servedStep(store)).toBe(20);
    await rollback(store, 'stable', by(44));
    expect(await servedStep(store)).toBe(10);
    await expect(rollback(store, 'stable', by(45))).rejects.toMatchObject({ code: 'THAW_CHANNEL_NOT_FOUND' });
  });

  test('nothing is promoted that is not there, or gone back to that has been removed', async () => {
    const store = await storeWith(10, 20);
    await expect(promote(store, 'stable', { run: 'trial', step: 15 }, by(1))).rejects.toMatchObject({
      code: 'THAW_CHECKPOINT_NOT_FOUND',
    });
    await promote(store, 'stable', { run: 'trial', step: 10 }, by(1));
    await promote(store, 'stable', { run: 'trial', step: 20 }, by(2));
    await store.delete('runs/trial/checkpoints/0000000010.json');
    await expect(rollback(store, 'stable', by(3))).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
    expect(await servedStep(store)).toBe(20);
  });

  test('of racing promoters all land, one behind the other', async () => {
    const store = new MemoryStore();
    await Promise.all(Array.from({ length: 12 }, (_, index) => appendRecord(store, 'stable', draft(index, 100))));
    const log = await records(store);
    expect(log.map(({ seq }) => seq)).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    expect(log.map(({ step }) => step).sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, index) => index));
    expect((await verifyChain(store, 'stable')).ok).toBe(true);
  });

  test('of racing promoters that decided on the same head one lands, the others are told', async () => {
    const store = new MemoryStore();
    await appendRecord(store, 'stable', draft(1));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, (_, index) => appendRecord(store, 'stable', draft(10 + index), { expectedSeq: 1 })),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'THAW_CHANNEL_MOVED' });
    expect(await records(store)).toHaveLength(2);
  });

  test('a death before the record moved nothing, one after it loses nothing', async () => {
    const dying = (store: ObjectStore, method: 'before record' | 'after record'): ObjectStore => {
      const dead = (): never => {
        throw new Error('killed');
      };
      return new Proxy(store, {
        get(target, property) {
          if (property === 'putIfAbsent' && method === 'before record') return dead;
          if (property === 'put') return dead;
          const value = Reflect.get(target, property) as (...args: unknown[]) => unknown;
          return value.bind(target);
        },
      });
    };
    const store = new MemoryStore();
    await appendRecord(store, 'stable', draft(1));
    await expect(appendRecord(dying(store, 'before record'), 'stable', draft(2))).rejects.toThrow('killed');
    expect(await servedStep(store)).toBe(1);
    await expect(appendRecord(dying(store, 'after record'), 'stable', draft(3))).rejects.toThrow('killed');
    expect(await servedStep(store)).toBe(3);
    await appendRecord(store, 'stable', draft(4));
    expect((await records(store)).map(({ step }) => step)).toEqual([1, 3, 4]);
    expect((await verifyChain(store, 'stable')).ok).toBe(true);
  });

  test.each(['missing', 'old', 'ahead', 'torn', 'of another kind'])(
    'a head cache that is %s does not mislead',
    async (harm) => {
      const store = new MemoryStore();
      for (const step of [1, 2, 3]) await appendRecord(store, 'stable', draft(step));
      const content = {
        missing: '',
        old: '{"seq":1}',
        ahead: '{"seq":99}',
        torn: '{"se',
        'of another kind': '{"seq":"2"}',
      }[harm]!;
      if (harm === 'missing') await store.delete(headKey('stable'));
      else await store.put(headKey('stable'), encode(content));
      expect(await servedStep(store)).toBe(3);
      expect((await rebuildHead(store, 'stable'))?.newest.record.seq).toBe(3);
      expect(new TextDecoder().decode((await store.get(headKey('stable')))?.bytes)).toBe('{"seq":3}\n');
      await appendRecord(store, 'stable', draft(4));
      expect(await servedStep(store)).toBe(4);
    },
  );

  test('answer what was served when, also when clocks went back', async () => {
    const store = new MemoryStore();
    await appendRecord(store, 'stable', draft(1, 100));
    await appendRecord(store, 'stable', { ...draft(2, 200), action: 'refuse' });
    await appendRecord(store, 'stable', draft(3, 300));
    await appendRecord(store, 'stable', draft(4, 250));
    const at = async (timeMs: number): Promise<number | undefined> =>
      (await servedAt(store, 'stable', timeMs))?.record.head?.step;
    expect(await Promise.all([at(99), at(100), at(299), at(300), at(1e12)])).toEqual([undefined, 1, 1, 4, 4]);
    expect((await records(store)).map(({ timeMs }) => timeMs)).toEqual([100, 200, 300, 300]);
  });

  test('bad names and drafts are refused before any effect', async () => {
    const store = new MemoryStore();
    await expect(appendRecord(store, '../x', draft(1))).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    for (const bad of [
      { step: -1 },
      { actor: '' },
      { manifestSha256: 'x' },
      { timeMs: NaN },
      { run: 'a/b' },
      { extra: 1 },
      { action: 'erase' },
    ])
      await expect(appendRecord(store, 'stable', { ...draft(1), ...bad } as never)).rejects.toMatchObject({
        code: 'THAW_CHANNEL_INVALID',
      });
    for await (const { key } of store.list('')) throw new Error(`${key} was written`);
  });
});

describe('verification of a chain', () => {
  async function chain(count = 5, signer?: ReturnType<typeof recordSigner>): Promise<MemoryStore> {
    const store = new MemoryStore();
    for (let step = 1; step <= count; step += 1) await appendRecord(store, 'stable', draft(step), signer && { signer });
    return store;
  }
  async function change(store: ObjectStore, seq: number, changes: object): Promise<void> {
    const record = (await records(store))[seq - 1]!;
    await store.put(recordKey('stable', seq), encode(canonicalJson({ ...record, ...changes })));
  }
  const keys = () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    return {
      signer: recordSigner(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string),
      verifier: recordVerifier(publicKey.export({ type: 'spki', format: 'pem' }) as string),
    };
  };

  test.each<[string, number, object]>([
    ['another step', 2, { step: 77, head: { run: 'trial', step: 77, manifestSha256: 'a'.repeat(64) } }],
    ['another actor', 3, { actor: 'nobody' }],
    ['another time', 1, { timeMs: 0 }],
    ['a head that does not follow', 5, { head: { run: 'trial', step: 9, manifestSha256: 'a'.repeat(64) } }],
    ['a time before its predecessor', 5, { timeMs: 1 }],
    ['another predecessor', 5, { previous: 'b'.repeat(64) }],
    ['another number', 4, { seq: 3 }],
    ['another channel', 4, { channel: 'latest' }],
    ['another format', 4, { format: 'thaw.channel-record/9' }],
  ])('sees %s', async (_what, seq, changes) => {
    const store = await chain();
    await change(store, seq, changes);
    const report = await verifyChain(store, 'stable');
    expect(report.ok).toBe(false);
    expect(report.problems.map((problem) => problem.seq).every((at) => at === seq || at === seq + 1)).toBe(true);
  });

  test('sees records that are missing, torn, or no records', async () => {
    const gap = await chain();
    await gap.delete(recordKey('stable', 3));
    expect((await verifyChain(gap, 'stable')).problems).toEqual([{ seq: 3, problem: 'the record is missing' }]);
    const first = await chain();
    await first.delete(recordKey('stable', 1));
    expect((await verifyChain(first, 'stable')).ok).toBe(false);
    const torn = await chain();
    await torn.put(recordKey('stable', 3), encodeRecord((await records(torn))[2]!).slice(0, 50));
    expect((await verifyChain(torn, 'stable')).problems[0]).toMatchObject({ seq: 3 });
    const stray = await chain();
    await stray.put('channels/stable/log/notes.txt', encode('x'));
    expect((await verifyChain(stray, 'stable')).ok).toBe(false);
  });

  test('only an anchor shows that the end was cut off or all was written anew', async () => {
    const store = await chain();
    const anchor = (await verifyChain(store, 'stable')).head!;
    expect(anchor.seq).toBe(5);
    await store.delete(recordKey('stable', 5));
    expect((await verifyChain(store, 'stable')).ok).toBe(true);
    expect((await verifyChain(store, 'stable', { anchor })).ok).toBe(false);
    expect((await verifyChain(store, 'stable', { anchor: { sha256: anchor.sha256 } })).problems).toMatchObject([
      { seq: 4 },
    ]);
    const anew = new MemoryStore();
    for (let step = 1; step <= 6; step += 1) await appendRecord(anew, 'stable', { ...draft(step), actor: 'forger' });
    expect((await verifyChain(anew, 'stable')).ok).toBe(true);
    expect((await verifyChain(anew, 'stable', { anchor })).problems).toMatchObject([{ seq: 5 }]);
    expect((await verifyChain(anew, 'stable', { anchor: { sha256: anchor.sha256 } })).ok).toBe(false);
    const grown = await chain();
    await appendRecord(grown, 'stable', draft(9));
    for (const kept of [anchor, { sha256: anchor.sha256 }])
      expect((await verifyChain(grown, 'stable', { anchor: kept })).ok).toBe(true);
  });

  test('signatures show who wrote, and that nothing was changed', async () => {
    const ours = keys();
    const theirs = keys();
    const store = await chain(3, ours.signer);
    expect(await verifyChain(store, 'stable', { verifiers: [theirs.verifier, ours.verifier] })).toMatchObject({
      ok: true,
      signed: 3,
    });
    expect((await verifyChain(store, 'stable', { verifiers: [theirs.verifier] })).problems).toHaveLength(3);
    await change(store, 3, { actor: 'nobody' });
    expect((await verifyChain(store, 'stable')).ok).toBe(true); // the last link has no successor to notice
    expect((await verifyChain(store, 'stable', { verifiers: [ours.verifier] })).problems).toEqual([
      { seq: 3, problem: 'the signature does not fit the record' },
    ]);
    await change(store, 3, { actor: 'tester', signature: undefined });
    expect((await verifyChain(store, 'stable', { verifiers: [ours.verifier] })).problems).toEqual([
      { seq: 3, problem: 'the record is not signed' },
    ]);
  });

  test('keys of another kind are refused without being repeated', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    }) as string;
    for (const pem of ['', 'secret text', rsa]) {
      const refused = { code: 'THAW_AUDIT_KEY_INVALID', message: expect.not.stringContaining('secret text') };
      expect(() => recordSigner(pem)).toThrow(expect.objectContaining(refused) as Error);
      expect(() => recordVerifier(pem)).toThrow(expect.objectContaining(refused) as Error);
    }
  });
});
