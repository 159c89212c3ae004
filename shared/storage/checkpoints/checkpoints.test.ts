import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blobKey, blobPrefix } from '../blobs/index.js';
import { decodeSafetensors, encodeSafetensors } from '../safetensors/index.js';
import type { ObjectStore } from '../store/index.js';
import { MemoryStore } from '../store/index.js';
import {
  assembleState,
  checkpointKey,
  commitManifest,
  confirmSlice,
  decodeSlice,
  encodeSlice,
  encodeSliceStepwise,
  floatsOf,
  listCheckpoints,
  listRuns,
  loadCheckpoint,
  loadGroup,
  newestCheckpoint,
  outlineSlices,
  planSlices,
  readBackSlice,
  readManifest,
  splitIntoSlices,
  weightsSha256,
  writeCheckpoint,
  writeSlice,
} from './index.js';
import { fields, smallState } from './state.fixture.js';

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A store on which nothing works after `calls` more calls: its process has died. */
function dyingStore(store: ObjectStore, calls: number): ObjectStore {
  let left = calls;
  return new Proxy(store, {
    get(target, property) {
      const method = Reflect.get(target, property) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (left-- <= 0) throw new Error('killed');
        return method.apply(target, args);
      };
    },
  });
}

describe('slices encoded a tensor at a time', () => {
  test('are the bytes of slices encoded at once, and make a tensor only when its turn comes', () => {
    const { tensors, ...scalars } = smallState(40);
    const made: string[] = [];
    const lazy = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
      const make = () => {
        made.push(name);
        return data;
      };
      return [name, { dtype, shape, data: make }] as const;
    });
    const outlines = outlineSlices(scalars, Object.fromEntries(lazy), 3);
    expect(made).toEqual([]);
    splitIntoSlices(smallState(40), 3).forEach((slice, index) => {
      made.length = 0;
      const steps = encodeSliceStepwise(outlines[index]!);
      let turns = 0;
      for (let next = steps.next(); ; next = steps.next()) {
        if (next.done) {
          expect(next.value).toEqual(encodeSlice(slice));
          break;
        }
        expect(made.length).toBe(turns++);
      }
      expect([...made].sort()).toEqual(Object.keys(slice.tensors).sort());
    });
  });
});

describe('checkpoints', () => {
  test('return the whole state, to the bit', async () => {
    const store = new MemoryStore();
    const state = smallState(40);
    const { created, manifest, manifestSha256 } = await writeCheckpoint(store, fields, state, 3);
    expect(created).toBe(true);
    const loaded = await loadCheckpoint(store, 'trial', 40);
    expect(loaded.state).toEqual(state);
    expect(loaded.manifest).toEqual(manifest);
    expect(manifest.weightsSha256).toBe(weightsSha256(floatsOf(state.tensors, 'weights')));
    const bytes = (await store.get(checkpointKey('trial', 40)))!.bytes;
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(manifestSha256);
  });

  test('are not committed when their slices have another history than expected', async () => {
    const store = new MemoryStore();
    const records = [];
    for (const slice of splitIntoSlices(smallState(40), 2)) records.push(await writeSlice(store, encodeSlice(slice)));
    const attempt = commitManifest(store, { ...fields, step: 40 }, records, 'ff'.repeat(32));
    await expect(attempt).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_INVALID' });
    expect(await store.head(checkpointKey('trial', 40))).toBeUndefined();
  });

  test('keep values that JSON or a rounding could lose', async () => {
    const state = smallState(1);
    const data = Float32Array.of(NaN, Infinity, -Infinity, -0, 1e-45, 3.4028234e38);
    const strange = {
      ...state,
      beta1Product: 5e-324,
      beta2Product: 1 - 2 ** -53,
      tensors: { ...state.tensors, 'weights/strange': { dtype: 'F32', shape: [6], data } as const },
    };
    const store = new MemoryStore();
    await writeCheckpoint(store, fields, strange, 2);
    const { state: loaded } = await loadCheckpoint(store, 'trial', 1);
    const bits = new Uint8Array(data.buffer);
    const { buffer, byteOffset } = loaded.tensors['weights/strange']!.data;
    expect(new Uint8Array(buffer, byteOffset, bits.length)).toEqual(bits);
    expect([loaded.beta1Product, loaded.beta2Product]).toEqual([5e-324, 1 - 2 ** -53]);
  });

  test('slices divide the tensors evenly, without overlap, alike for every member', () => {
    const sizes = fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), fc.nat(10_000), { minKeys: 1, maxKeys: 30 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 6 }), (bytes, count) => {
        const tensors = Object.fromEntries(
          Object.entries(bytes).map(([name, byteLength]) => [name, { data: { byteLength } }]),
        );
        const reversed = Object.fromEntries(Object.entries(tensors).reverse());
        const plan = planSlices(tensors, count);
        expect(plan).toEqual(planSlices(reversed, count));
        expect(plan).toHaveLength(count);
        expect(plan.flat().sort()).toEqual(Object.keys(bytes).sort());
        const loads = plan.map((names) => names.reduce((sum, name) => sum + bytes[name]!, 0));
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(Math.max(...Object.values(bytes)));
      }),
    );
  });

  test('a second member confirms a slice of the same state and no other', () => {
    const slice = (step: number, index: number, seed = 1) =>
      encodeSlice(splitIntoSlices(smallState(step, seed), 3)[index]!);
    const reported = slice(40, 1).record;
    expect(confirmSlice(slice(40, 1), reported)).toBe(true);
    expect(confirmSlice(slice(40, 2), reported)).toBe(false);
    expect(confirmSlice(slice(41, 1), reported)).toBe(false);
    expect(confirmSlice(slice(40, 1, 2), reported)).toBe(false);
  });

  test('several members write slices and one of them, or nobody who has the state, commits', async () => {
    const store = new MemoryStore();
    const slices = splitIntoSlices(smallState(40), 3).map(encodeSlice);
    const records = await Promise.all(slices.map((slice) => writeSlice(store, slice)));
    for (const record of records) await readBackSlice(store, record);
    const commits = await Promise.all([
      commitManifest(store, { ...fields, step: 40 }, [...records].reverse()),
      commitManifest(store, { ...fields, step: 40, createdMs: 5 }, records),
    ]);
    expect(commits.map(({ created }) => created).sort()).toEqual([false, true]);
    expect(commits[0].manifestSha256).toBe(commits[1].manifestSha256);
    expect((await loadCheckpoint(store, 'trial', 40)).state).toEqual(smallState(40));
  });

  test('a death at any point leaves the whole checkpoint or none, and it can be written again', async () => {
    let deaths = 0;
    for (let calls = 0; ; calls += 1) {
      const store = new MemoryStore();
      const outcome = await writeCheckpoint(dyingStore(store, calls), fields, smallState(40), 2).catch(
        (error: Error) => error,
      );
      const listed = await listCheckpoints(store, 'trial');
      if (listed.length > 0) expect((await loadCheckpoint(store, 'trial', 40)).state).toEqual(smallState(40));
      else
        await expect(loadCheckpoint(store, 'trial', 40)).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
      await writeCheckpoint(store, fields, smallState(40), 2);
      expect((await loadCheckpoint(store, 'trial', 40)).state).toEqual(smallState(40));
      if (!(outcome instanceof Error)) break;
      expect(outcome.message).toBe('killed');
      deaths += 1;
    }
    expect(deaths).toBeGreaterThan(8);
  });

  test('nothing is committed that is missing, twice, of another step, or not as reported', async () => {
    const store = new MemoryStore();
    const write = async (step: number, count: number) =>
      Promise.all(splitIntoSlices(smallState(step), count).map((slice) => writeSlice(store, encodeSlice(slice))));
    const at40 = await write(40, 3);
    const at41 = await write(41, 3);
    const commit = (records: typeof at40, step = 40) => commitManifest(store, { ...fields, step }, records);
    const invalid = { code: 'THAW_CHECKPOINT_INVALID' };
    await expect(commit(at40.slice(0, 2))).rejects.toMatchObject(invalid);
    await expect(commit([])).rejects.toMatchObject(invalid);
    await expect(commit([at40[0]!, at40[1]!, at40[1]!])).rejects.toMatchObject(invalid);
    await expect(commit([at40[0]!, at41[1]!, at40[2]!])).rejects.toMatchObject(invalid);
    await expect(commit(at41)).rejects.toMatchObject(invalid);
    await expect(commit([{ ...at40[0]!, index: 1 }, { ...at40[1]!, index: 0 }, at40[2]!])).rejects.toMatchObject(
      invalid,
    );
    await expect(commit([{ ...at40[0]!, bytes: 1 }, at40[1]!, at40[2]!])).rejects.toMatchObject({
      code: 'THAW_BLOB_CORRUPT',
    });
    await expect(commit([{ ...at40[0]!, sha256: '0'.repeat(64) }, at40[1]!, at40[2]!])).rejects.toMatchObject({
      code: 'THAW_BLOB_NOT_FOUND',
    });
    await expect(commitManifest(store, { ...fields, step: 40, configSha256: 'x' }, at40)).rejects.toMatchObject(
      invalid,
    );
    expect(await listCheckpoints(store, 'trial')).toEqual([]);
    expect((await commit(at40)).created).toBe(true);
  });

  test('a second checkpoint of a step with another content is refused by name', async () => {
    const store = new MemoryStore();
    await writeCheckpoint(store, fields, smallState(40), 2);
    const conflict = { code: 'THAW_CHECKPOINT_CONFLICT' };
    await expect(writeCheckpoint(store, fields, smallState(40, 2), 2)).rejects.toMatchObject(conflict);
    await expect(
      writeCheckpoint(store, { ...fields, configSha256: 'e'.repeat(64) }, smallState(40), 2),
    ).rejects.toMatchObject(conflict);
    expect((await loadCheckpoint(store, 'trial', 40)).state).toEqual(smallState(40));
  });

  test('a changed, shortened or lost blob is found on loading', async () => {
    for (const harm of ['changed', 'shortened', 'lost'] as const) {
      const store = new MemoryStore();
      const { manifest } = await writeCheckpoint(store, fields, smallState(40), 2);
      const key = blobKey(manifest.slices[1]!.sha256);
      const { bytes } = (await store.get(key))!;
      bytes[bytes.length - 1]! ^= 1;
      if (harm === 'lost') await store.delete(key);
      else await store.put(key, harm === 'changed' ? bytes : bytes.slice(0, -1));
      const code = harm === 'lost' ? 'THAW_BLOB_NOT_FOUND' : 'THAW_BLOB_CORRUPT';
      await expect(loadCheckpoint(store, 'trial', 40)).rejects.toMatchObject({ code });
    }
  });

  test('a manifest that lies is found out', async () => {
    const store = new MemoryStore();
    const { manifest } = await writeCheckpoint(store, fields, smallState(40), 2);
    await writeCheckpoint(store, fields, smallState(41), 2);
    const other = (await readManifest(store, 'trial', 41)).manifest;
    const lies: object[] = [
      { ...manifest, step: 39 },
      { ...manifest, run: 'other' },
      { ...manifest, format: 'thaw.checkpoint/2' },
      { ...manifest, extra: 1 },
      { ...manifest, epoch: 3 },
      { ...manifest, beta1Product: 0.5 },
      { ...manifest, slices: [manifest.slices[0], other.slices[1]] },
      { ...manifest, slices: [manifest.slices[1], manifest.slices[0]] },
      { ...manifest, tensors: manifest.tensors.slice(1) },
      { ...manifest, tensors: [...manifest.tensors, manifest.tensors[0]] },
      { ...manifest, tensors: manifest.tensors.map((tensor) => ({ ...tensor, shape: [1, ...tensor.shape] })) },
    ];
    for (const lie of lies) {
      await store.put(checkpointKey('trial', 40), encode(JSON.stringify(lie)));
      await expect(loadCheckpoint(store, 'trial', 40), JSON.stringify(lie).slice(0, 100)).rejects.toMatchObject({
        code: 'THAW_CHECKPOINT_INVALID',
      });
    }
    await store.put(checkpointKey('trial', 40), encode('{"format":'));
    await expect(loadCheckpoint(store, 'trial', 40)).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_INVALID' });
  });

  test('a blob that is a valid file but no slice is refused', () => {
    const [slice] = splitIntoSlices(smallState(1), 1);
    const { tensors, metadata } = decodeSafetensors(encodeSlice(slice!).bytes);
    const invalid = expect.objectContaining({ code: 'THAW_CHECKPOINT_INVALID' }) as Error;
    expect(() => decodeSlice(encodeSafetensors(tensors))).toThrow(invalid);
    expect(() => decodeSlice(encodeSafetensors(tensors, { ...metadata, step: 'x' }))).toThrow(invalid);
    const stray = { 'optimizer/x': { dtype: 'F32', shape: [1], data: Float32Array.of(1) } } as const;
    expect(() => decodeSlice(encodeSafetensors(stray, metadata))).toThrow(invalid);
    const integers = { 'weights/x': { dtype: 'I32', shape: [1], data: Int32Array.of(1) } } as const;
    expect(() => decodeSlice(encodeSafetensors(integers, metadata))).toThrow(invalid);
    expect(() => assembleState([])).toThrow(invalid);
  });

  test('one group is loaded from the slices that hold it', async () => {
    const store = new MemoryStore();
    const state = smallState(40);
    const { manifest } = await writeCheckpoint(store, fields, state, 3);
    const ema = await loadGroup(store, manifest, 'ema');
    expect(Object.keys(ema).sort()).toEqual(['conv.bias', 'conv.weight', 'out.bias', 'out.weight', 'scale']);
    expect(ema['conv.weight']).toEqual(state.tensors['ema/conv.weight']);
    const needed = new Set(
      manifest.tensors.filter(({ name }) => name.startsWith('exponents/')).map(({ slice }) => slice),
    );
    for (const { index, sha256 } of manifest.slices) if (!needed.has(index)) await store.delete(blobKey(sha256));
    expect(Object.keys(await loadGroup(store, manifest, 'exponents'))).toHaveLength(5);
  });

  test('are listed in the order of steps, and the newest is found', async () => {
    const store = new MemoryStore();
    expect(await newestCheckpoint(store, 'trial')).toBeUndefined();
    for (const step of [9, 100, 10]) await writeCheckpoint(store, fields, smallState(step), 1);
    await writeCheckpoint(store, { ...fields, run: 'another' }, smallState(7), 1);
    expect((await listCheckpoints(store, 'trial')).map(({ step }) => step)).toEqual([9, 10, 100]);
    expect((await newestCheckpoint(store, 'trial'))?.manifest.step).toBe(100);
    expect(await listRuns(store)).toEqual(['another', 'trial']);
  });

  test('a newest manifest that cannot be read is an error, or passed over if the caller is told', async () => {
    const store = new MemoryStore();
    for (const step of [10, 20]) await writeCheckpoint(store, fields, smallState(step), 1);
    await store.put(checkpointKey('trial', 20), encode('torn'));
    await expect(newestCheckpoint(store, 'trial')).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_INVALID' });
    const told: number[] = [];
    expect((await newestCheckpoint(store, 'trial', (_problem, step) => told.push(step)))?.manifest.step).toBe(10);
    expect(told).toEqual([20]);
  });

  test('names of runs and steps cannot leave their place', async () => {
    const store = new MemoryStore();
    await expect(loadCheckpoint(store, '../x', 1)).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    for (const step of [-1, 0.5, NaN, 1e12])
      await expect(loadCheckpoint(store, 'trial', step)).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
  });

  test('the hash of weights is that of their bytes in the order of names', () => {
    const weights = { b: Float32Array.of(1, 2), 'a.x': Float32Array.of(3), B: Float32Array.of(4) };
    const bytes = new Uint8Array(Float32Array.of(4, 3, 1, 2).buffer);
    expect(weightsSha256(weights)).toBe(createHash('sha256').update(bytes).digest('hex'));
    const shared = new Float32Array(new SharedArrayBuffer(16), 4, 2);
    shared.set([1, 2]);
    expect(weightsSha256({ ...weights, b: { data: shared } })).toBe(weightsSha256(weights));
  });

  test('a blob that was harmed is mended by writing it again', async () => {
    const store = new MemoryStore();
    const slice = encodeSlice(splitIntoSlices(smallState(40), 1)[0]!);
    await store.put(blobKey(slice.record.sha256), encode('harm'));
    await readBackSlice(store, await writeSlice(store, slice));
    for await (const { key, size } of store.list(blobPrefix))
      expect([key, size]).toEqual([blobKey(slice.record.sha256), slice.record.bytes]);
    expect(decode(slice.bytes.subarray(8, 9))).toBe('{');
  });
});
