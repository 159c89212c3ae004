/** What every object store does: one suite for all adapters. Set THAW_TEST_S3_URL to run it against a real S3 server. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ObjectStore } from '@thaw/shared/storage';
import { FolderStore, MemoryStore, checkStoreFitness, openStore } from '@thaw/shared/storage';
import { S3Store } from '../../shared/storage/io/s3-store.js';
import { S3Double } from './s3-double.js';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes);

interface Adapter {
  readonly name: string;
  /** An etag names the content, so that it comes back with it. */
  readonly etagIsContent: boolean;
  /** Why it cannot be tested here. */
  readonly absent?: string;
  /** Opens the store; again for another connection to the same. */
  open(): Promise<ObjectStore>;
  start?(): Promise<void>;
  stop?(): Promise<void>;
}

function memoryAdapter(): Adapter {
  const store = new MemoryStore({ wallTimeMs: () => Date.now() });
  return { name: 'memory', etagIsContent: false, open: async () => store };
}

function folderAdapter(): Adapter {
  let folder = '';
  return {
    name: 'folder',
    etagIsContent: false,
    start: async () => void (folder = await mkdtemp(join(tmpdir(), 'thaw-store-'))),
    stop: () => rm(folder, { recursive: true }),
    open: () => openStore(pathToFileURL(folder).href),
  };
}

const credentials = { accessKeyId: 'test', secretAccessKey: 'test-secret' };

function openDouble(double: S3Double, endpoint: string): S3Store {
  const { bucket } = double;
  return S3Store.open({
    bucket,
    prefix: 'some/prefix',
    region: 'us-east-1',
    endpoint,
    pathStyle: true,
    credentials,
    retryDelayMs: 1,
  });
}

function s3DoubleAdapter(): Adapter {
  const double = new S3Double({ pageSize: 3 });
  let endpoint = '';
  return {
    name: 'S3, in-process double',
    etagIsContent: true,
    start: async () => void (endpoint = await double.start()),
    stop: () => double.stop(),
    open: async () => openDouble(double, endpoint),
  };
}

function s3ServerAdapter(): Adapter {
  const address = process.env['THAW_TEST_S3_URL'];
  return {
    name: 'S3, real server',
    etagIsContent: true,
    ...(address === undefined ? { absent: 'THAW_TEST_S3_URL is not set' } : {}),
    open: () => openStore(address!),
  };
}

for (const adapter of [memoryAdapter(), folderAdapter(), s3DoubleAdapter(), s3ServerAdapter()]) {
  if (adapter.absent !== undefined) {
    test.skip(`object store: ${adapter.name} (${adapter.absent})`, () => {});
    continue;
  }
  describe(`object store: ${adapter.name}`, () => {
    let store: ObjectStore;
    let base = '';
    beforeAll(async () => {
      await adapter.start?.();
      store = await adapter.open();
    });
    afterAll(async () => {
      const left = [];
      for await (const { key } of store.list('conformance/')) left.push(key);
      for (const key of left) await store.delete(key);
      await adapter.stop?.();
    });
    // Every test has keys of its own, also on a server that is used again.
    beforeEach(() => void (base = `conformance/${randomBytes(6).toString('hex')}`));

    test('returns what was put, whole and in ranges', async () => {
      const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);
      const { created, etag } = await store.putIfAbsent(`${base}/a`, bytes);
      expect(created).toBe(true);
      expect(await store.get(`${base}/a`)).toEqual({ bytes, etag });
      expect((await store.get(`${base}/a`, { offset: 10, length: 20 }))?.bytes).toEqual(bytes.slice(10, 30));
      expect((await store.get(`${base}/a`, { offset: 990, length: 20 }))?.bytes).toEqual(bytes.slice(990));
      expect((await store.get(`${base}/a`, { offset: 1000, length: 5 }))?.bytes).toEqual(new Uint8Array());
      expect((await store.get(`${base}/a`, { offset: 5, length: 0 }))?.bytes).toEqual(new Uint8Array());
      const head = await store.head(`${base}/a`);
      expect(head).toMatchObject({ size: 1000, etag });
      expect(Math.abs(head!.modifiedMs - Date.now())).toBeLessThan(3_600_000);
    });

    test('keeps its bytes when the caller changes what it gave or got', async () => {
      const given = encode('original');
      await store.put(`${base}/a`, given);
      given.fill(0);
      const got = (await store.get(`${base}/a`))!.bytes;
      expect(decode(got)).toBe('original');
      got.fill(0);
      expect(decode((await store.get(`${base}/a`))?.bytes)).toBe('original');
    });

    test('an object without bytes is an object', async () => {
      await store.putIfAbsent(`${base}/empty`, new Uint8Array());
      expect((await store.get(`${base}/empty`))?.bytes).toEqual(new Uint8Array());
      expect((await store.get(`${base}/empty`, { offset: 0, length: 8 }))?.bytes).toEqual(new Uint8Array());
      expect(await store.head(`${base}/empty`)).toMatchObject({ size: 0 });
    });

    test('says undefined for what is not there, and deletes it without complaint', async () => {
      expect(await store.get(`${base}/none`)).toBeUndefined();
      expect(await store.get(`${base}/none`, { offset: 0, length: 1 })).toBeUndefined();
      expect(await store.head(`${base}/none`)).toBeUndefined();
      await store.delete(`${base}/none`);
      expect(await store.compareAndSwap(`${base}/none`, encode('x'), '"0123"')).toEqual({ swapped: false });
      expect(await store.get(`${base}/none`)).toBeUndefined();
    });

    test('put-if-absent never replaces', async () => {
      const first = await store.putIfAbsent(`${base}/a`, encode('first'));
      const second = await store.putIfAbsent(`${base}/a`, encode('second'));
      expect(second).toEqual({ created: false, etag: first.etag });
      expect(decode((await store.get(`${base}/a`))?.bytes)).toBe('first');
    });

    test('compare-and-swap replaces only the version that is named', async () => {
      const first = await store.putIfAbsent(`${base}/a`, encode('first'));
      const second = await store.compareAndSwap(`${base}/a`, encode('second'), first.etag);
      expect(second.swapped).toBe(true);
      expect(second.etag).not.toBe(first.etag);
      expect(await store.compareAndSwap(`${base}/a`, encode('late'), first.etag)).toEqual({
        swapped: false,
        etag: second.etag,
      });
      expect(await store.get(`${base}/a`)).toEqual({ bytes: encode('second'), etag: second.etag });
      expect(await store.head(`${base}/a`)).toMatchObject({ size: 6, etag: second.etag });
      expect((await store.putIfAbsent(`${base}/a`, encode('again'))).created).toBe(false);
    });

    test('an object may be swapped very often', async () => {
      let { etag } = await store.putIfAbsent(`${base}/plan`, encode('0'));
      for (let index = 1; index <= 100; index += 1) {
        const { swapped, etag: next } = await store.compareAndSwap(`${base}/plan`, encode(String(index)), etag);
        expect(swapped).toBe(true);
        etag = next!;
      }
      expect(await store.get(`${base}/plan`)).toEqual({ bytes: encode('100'), etag });
    });

    test.skipIf(adapter.etagIsContent)('the etag of an earlier time does not return with its content', async () => {
      const first = await store.putIfAbsent(`${base}/a`, encode('A'));
      const second = await store.compareAndSwap(`${base}/a`, encode('B'), first.etag);
      const third = await store.compareAndSwap(`${base}/a`, encode('A'), second.etag!);
      expect((await store.compareAndSwap(`${base}/a`, encode('C'), first.etag)).swapped).toBe(false);
      await store.delete(`${base}/a`);
      await store.putIfAbsent(`${base}/a`, encode('A'));
      expect((await store.compareAndSwap(`${base}/a`, encode('C'), first.etag)).swapped).toBe(false);
      expect((await store.compareAndSwap(`${base}/a`, encode('C'), third.etag!)).swapped).toBe(false);
      expect(decode((await store.get(`${base}/a`))?.bytes)).toBe('A');
    });

    test('put replaces anything, also what was swapped', async () => {
      await store.put(`${base}/a`, encode('one'));
      const { etag } = await store.put(`${base}/a`, encode('two'));
      expect(await store.get(`${base}/a`)).toEqual({ bytes: encode('two'), etag });
      const swapped = await store.compareAndSwap(`${base}/a`, encode('three'), etag);
      expect(swapped.swapped).toBe(true);
      await store.put(`${base}/a`, encode('four'));
      expect(decode((await store.get(`${base}/a`))?.bytes)).toBe('four');
      expect((await store.compareAndSwap(`${base}/a`, encode('five'), swapped.etag!)).swapped).toBe(false);
    });

    test('a deleted object is gone and can be created again, also one that was swapped', async () => {
      for (let round = 0; round < 3; round += 1) {
        const { created, etag } = await store.putIfAbsent(`${base}/a`, encode(`round ${round}`));
        expect(created).toBe(true);
        expect((await store.compareAndSwap(`${base}/a`, encode(`swapped ${round}`), etag)).swapped).toBe(true);
        await store.delete(`${base}/a`);
        expect(await store.get(`${base}/a`)).toBeUndefined();
        expect(await store.head(`${base}/a`)).toBeUndefined();
        expect((await store.compareAndSwap(`${base}/a`, encode('late'), etag)).swapped).toBe(false);
        expect(await collect(store.list(`${base}/`))).toEqual([]);
      }
    });

    test('lists what begins with a prefix, in order, with sizes, over many pages', async () => {
      const names = ['b/2', 'a/1', 'a-1', 'a/10', 'a/1.json', 'b/1', 'c', 'a/sub/deep/er', 'ab'];
      for (const [index, name] of names.entries())
        await store.putIfAbsent(`${base}/${name}`, encode('x'.repeat(index)));
      const { etag } = await store.putIfAbsent(`${base}/a/plan`, encode('0'));
      await store.compareAndSwap(`${base}/a/plan`, encode('12345'), etag);
      const keysOf = async (prefix: string): Promise<string[]> =>
        (await collect(store.list(`${base}/${prefix}`))).map(({ key }) => key.slice(base.length + 1));
      expect(await keysOf('')).toEqual([...names, 'a/plan'].sort());
      expect(await keysOf('a/')).toEqual(['a/1', 'a/1.json', 'a/10', 'a/plan', 'a/sub/deep/er']);
      expect(await keysOf('a/1')).toEqual(['a/1', 'a/1.json', 'a/10']);
      expect(await keysOf('a')).toEqual(['a-1', 'a/1', 'a/1.json', 'a/10', 'a/plan', 'a/sub/deep/er', 'ab']);
      expect(await keysOf('none/')).toEqual([]);
      const sizes = new Map(
        (await collect(store.list(base))).map(({ key, size }) => [key.slice(base.length + 1), size]),
      );
      expect(sizes.get('ab')).toBe(8);
      expect(sizes.get('a/plan')).toBe(5);
    });

    test('refuses keys that are none, before any effect', async () => {
      const bad = [
        '',
        '/',
        '/etc/passwd',
        'a//b',
        'a/',
        '..',
        '../a',
        'a/../b',
        './a',
        'a/.hidden',
        'a b',
        'a\\b',
        'a\0b',
        'a~',
        'ä',
        'x'.repeat(600),
      ];
      for (const key of bad) {
        const refused = { code: 'THAW_STORE_KEY_INVALID' };
        await expect((async () => store.get(key))()).rejects.toMatchObject(refused);
        await expect((async () => store.head(key))()).rejects.toMatchObject(refused);
        await expect((async () => store.put(key, encode('x')))()).rejects.toMatchObject(refused);
        await expect((async () => store.putIfAbsent(key, encode('x')))()).rejects.toMatchObject(refused);
        await expect((async () => store.compareAndSwap(key, encode('x'), 'e'))()).rejects.toMatchObject(refused);
        await expect((async () => store.delete(key))()).rejects.toMatchObject(refused);
      }
      await expect(collect(store.list('../'))).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    });

    test('of 20 racing creators exactly one wins, and its bytes are there', async () => {
      const stores = await Promise.all(Array.from({ length: 20 }, () => adapter.open()));
      const outcomes = await Promise.all(
        stores.map((each, index) => each.putIfAbsent(`${base}/race`, encode(`writer ${index} ${'x'.repeat(5000)}`))),
      );
      const winners = outcomes.flatMap(({ created }, index) => (created ? [index] : []));
      expect(winners).toHaveLength(1);
      expect(new Set(outcomes.map(({ etag }) => etag)).size).toBe(1);
      expect(decode((await store.get(`${base}/race`))?.bytes)).toMatch(new RegExp(`^writer ${winners[0]} `));
    });

    test('20 racing swappers lose no update', async () => {
      await store.putIfAbsent(`${base}/log`, encode('[]'));
      const stores = await Promise.all(Array.from({ length: 20 }, () => adapter.open()));
      const append = async (each: ObjectStore, entry: string): Promise<void> => {
        for (;;) {
          const present = (await each.get(`${base}/log`))!;
          const log = JSON.parse(decode(present.bytes)!) as string[];
          const { swapped } = await each.compareAndSwap(
            `${base}/log`,
            encode(JSON.stringify([...log, entry])),
            present.etag,
          );
          if (swapped) return;
        }
      };
      await Promise.all(stores.flatMap((each, index) => [append(each, `${index}.a`), append(each, `${index}.b`)]));
      const log = JSON.parse(decode((await store.get(`${base}/log`))?.bytes)!) as string[];
      expect(log).toHaveLength(40);
      expect(new Set(log).size).toBe(40);
    });

    test('a reader beside writers sees whole versions only', async () => {
      const whole = (index: number): Uint8Array => new Uint8Array(200_000).fill(index);
      let { etag } = await store.putIfAbsent(`${base}/a`, whole(0));
      let writing = true;
      const reader = (async () => {
        let reads = 0;
        let last = 0;
        while (writing || reads === 0) {
          const { bytes } = (await store.get(`${base}/a`))!;
          expect(bytes.byteLength).toBe(200_000);
          expect(bytes.every((value) => value === bytes[0])).toBe(true);
          expect(bytes[0]).toBeGreaterThanOrEqual(last);
          last = bytes[0]!;
          reads += 1;
        }
        return reads;
      })();
      for (let index = 1; index <= 30; index += 1)
        etag = (await store.compareAndSwap(`${base}/a`, whole(index), etag)).etag!;
      writing = false;
      expect(await reader).toBeGreaterThan(0);
    });

    test('passes the check that a run makes of its store', async () => {
      await checkStoreFitness(store, randomBytes(6).toString('hex'));
      expect(await collect(store.list('probes/'))).toEqual([]);
    });
  });
}

const built = existsSync(fileURLToPath(new URL('../../shared/dist/storage/index.js', import.meta.url)));

describe.skipIf(!built)('a folder shared by processes', () => {
  const writerFile = fileURLToPath(new URL('./store-writer.mjs', import.meta.url));
  let folder = '';
  let address = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'thaw-store-'));
    address = pathToFileURL(folder).href;
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Starts a writer; `lines` grows as it speaks. */
  function start(key: string, name: string, times: number, mode: 'swap' | 'create') {
    const child = spawn(process.execPath, [writerFile, address, key, name, String(times), mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    const waiting: { line: (text: string) => boolean; resolve: () => void }[] = [];
    createInterface({ input: child.stdout }).on('line', (text) => {
      lines.push(text);
      for (const each of waiting.splice(0))
        if (each.line(text)) each.resolve();
        else waiting.push(each);
    });
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const saw = (line: (text: string) => boolean): Promise<void> =>
      new Promise((resolve) => (lines.some(line) ? resolve() : waiting.push({ line, resolve })));
    return { child, lines, exited, saw };
  }

  test('20 writers in 4 processes and this one lose no swap', async () => {
    const store = await openStore(address);
    await store.putIfAbsent('runs/trial/plan', encode('[]'));
    const children = Array.from({ length: 4 }, (_, index) => start('runs/trial/plan', `child${index}`, 12, 'swap'));
    const own = Array.from({ length: 16 }, async (_, index) => {
      const each = await openStore(address);
      for (;;) {
        const present = (await each.get('runs/trial/plan'))!;
        const log = JSON.parse(decode(present.bytes)!) as string[];
        const next = encode(JSON.stringify([...log, `own${index}`]));
        if ((await each.compareAndSwap('runs/trial/plan', next, present.etag)).swapped) return;
      }
    });
    await Promise.all([...own, ...children.map(({ exited }) => exited)]);
    const log = JSON.parse(decode((await store.get('runs/trial/plan'))?.bytes)!) as string[];
    expect(log).toHaveLength(4 * 12 + 16);
    expect(new Set(log).size).toBe(log.length);
    for (const { lines } of children) {
      expect(lines.at(-1)).toBe('done');
      const acknowledged = lines.filter((line) => line.startsWith('swapped ')).map((line) => line.slice(8));
      expect(log.filter((entry) => acknowledged.includes(entry))).toEqual(acknowledged);
    }
  });

  test('processes that race to create agree on every winner', async () => {
    const children = Array.from({ length: 3 }, (_, index) => start('blobs/x', `child${index}`, 20, 'create'));
    await Promise.all(children.map(({ exited }) => exited));
    const store = await openStore(address);
    for (let index = 0; index < 20; index += 1) {
      const winners = children.flatMap(({ lines }, child) => (lines.includes(`created ${index}`) ? [child] : []));
      expect(winners).toHaveLength(1);
      const found = JSON.parse(decode((await store.get(`blobs/x-${index}`))?.bytes)!) as { name: string };
      expect(found.name).toBe(`child${winners[0]}`);
    }
  });

  test('writers killed at any moment leave whole versions and no lock, and lose nothing acknowledged', async () => {
    const store = await openStore(address);
    await store.putIfAbsent('runs/trial/plan', encode('[]'));
    for (let round = 0; round < 4; round += 1) {
      const victims = [0, 1].map((index) => start('runs/trial/plan', `r${round}v${index}`, 1_000_000, 'swap'));
      // Killed while they write: after a number of swaps that differs from round to round.
      let seen = 0;
      await victims[0]!.saw((line) => line.startsWith('swapped') && ++seen > 1 + round);
      for (const { child } of victims) child.kill('SIGKILL');
      await Promise.all(victims.map(({ exited }) => exited));
      const present = (await store.get('runs/trial/plan'))!;
      const log = JSON.parse(decode(present.bytes)!) as string[];
      for (const { lines } of victims)
        for (const line of lines.filter((text) => text.startsWith('swapped '))) expect(log).toContain(line.slice(8));
      expect(new Set(log).size).toBe(log.length);
      // One try, no waiting: nobody holds anything.
      expect(
        (
          await store.compareAndSwap(
            'runs/trial/plan',
            encode(JSON.stringify([...log, `after ${round}`])),
            present.etag,
          )
        ).swapped,
      ).toBe(true);
    }
  });
});
if (!built) test.skip('a folder shared by processes (shared/dist is not built; run `npm run build` first)', () => {});

describe('a folder store and what the dead leave behind', () => {
  test("sweeps temporary files of dead writers, and nobody else's", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'thaw-store-'));
    const store = await FolderStore.open(folder);
    await store.putIfAbsent('a', encode('a'));
    await writeFile(join(folder, '~tmp', 'dead-writer'), 'half of a vers');
    expect(await store.sweepTemporary(Date.now() - 60_000)).toBe(0);
    expect(await store.sweepTemporary(Date.now() + 60_000)).toBe(1);
    expect(await readdir(join(folder, '~tmp'))).toEqual([]);
    expect(await collect(store.list(''))).toHaveLength(1);
    await rm(folder, { recursive: true });
  });

  test('says what is wrong with a folder that cannot be used, and with keys that are folders of keys', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'thaw-store-'));
    await writeFile(join(folder, 'file'), '');
    await expect(FolderStore.open(join(folder, 'file'))).rejects.toMatchObject({ name: 'ThawError' });
    const store = await FolderStore.open(folder);
    await store.putIfAbsent('a/b', encode('x'));
    expect(await store.get('a')).toBeUndefined();
    expect(await store.get('a/b/c')).toBeUndefined();
    await store.delete('a');
    await expect(store.putIfAbsent('a', encode('x'))).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    await expect(store.put('a', encode('x'))).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    await expect(store.putIfAbsent('a/b/c', encode('x'))).rejects.toMatchObject({ code: 'THAW_STORE_KEY_INVALID' });
    expect(decode((await store.get('a/b'))?.bytes)).toBe('x');
    await rm(folder, { recursive: true });
  });
});

describe('S3 when answers are lost', () => {
  let double: S3Double;
  let endpoint = '';
  let store: S3Store;
  beforeEach(async () => {
    double = new S3Double();
    endpoint = await double.start();
    store = openDouble(double, endpoint);
  });
  afterEach(async () => {
    store.close();
    await double.stop();
  });
  const puts = (): number => double.requests.filter((request) => request.startsWith('PUT')).length;

  test("a creation whose answer was lost is known as one's own", async () => {
    double.failNext('PUT', 'lose-answer');
    expect((await store.putIfAbsent('a', encode('mine'))).created).toBe(true);
    expect(puts()).toBe(2);
  });

  test('a creation that somebody else overtook is not', async () => {
    const other = openDouble(double, endpoint);
    await other.putIfAbsent('b', encode('theirs'));
    double.failNext('PUT', 'lose-request', () =>
      double.objects.set('some/prefix/a', double.objects.get('some/prefix/b')!),
    );
    expect((await store.putIfAbsent('a', encode('theirs'))).created).toBe(false);
    other.close();
  });

  test("a swap whose answer was lost is known as one's own", async () => {
    const { etag } = await store.putIfAbsent('a', encode('1'));
    double.failNext('PUT', 'lose-answer');
    const { swapped, etag: next } = await store.compareAndSwap('a', encode('2'), etag);
    expect(swapped).toBe(true);
    expect((await store.get('a'))?.etag).toBe(next);
  });

  test('a swap whose answer was lost and that was swapped again meanwhile is in doubt', async () => {
    const { etag } = await store.putIfAbsent('a', encode('1'));
    double.failNext('PUT', 'lose-answer', () => {
      const present = double.objects.get('some/prefix/a')!;
      double.objects.set('some/prefix/a', { ...present, etag: '"later"', metadata: {} });
    });
    await expect(store.compareAndSwap('a', encode('2'), etag)).rejects.toMatchObject({ code: 'THAW_STORE_AMBIGUOUS' });
  });

  test('requests that were not carried out are repeated', async () => {
    double.failNext('PUT', 'slow-down');
    double.failNext('PUT', 'lose-request');
    double.failNext('PUT', 'conflict');
    const { created, etag } = await store.putIfAbsent('a', encode('1'));
    expect(created).toBe(true);
    expect(puts()).toBe(4);
    double.failNext('PUT', 'conflict');
    expect((await store.compareAndSwap('a', encode('2'), etag)).swapped).toBe(true);
    double.failNext('GET', 'slow-down');
    double.failNext('GET', 'lose-answer');
    expect(decode((await store.get('a'))?.bytes)).toBe('2');
    double.failNext('DELETE', 'lose-answer');
    await store.delete('a');
    expect(await store.get('a')).toBeUndefined();
  });

  test('a store that stays away is an error with a sentence, in doubt if something was written', async () => {
    for (let attempt = 0; attempt < 6; attempt += 1) double.failNext('GET', 'slow-down');
    await expect(store.get('a')).rejects.toMatchObject({ code: 'THAW_STORE_UNAVAILABLE' });
    for (let attempt = 0; attempt < 6; attempt += 1) double.failNext('PUT', 'lose-request');
    await expect(store.putIfAbsent('a', encode('1'))).rejects.toMatchObject({ code: 'THAW_STORE_AMBIGUOUS' });
    const elsewhere = S3Store.open({
      bucket: 'no-such-bucket',
      prefix: '',
      region: 'us-east-1',
      endpoint,
      pathStyle: true,
      credentials,
    });
    await expect(elsewhere.putIfAbsent('a', encode('1'))).rejects.toMatchObject({ code: 'THAW_STORE_UNAVAILABLE' });
    await expect(elsewhere.get('a')).rejects.toMatchObject({ code: 'THAW_STORE_UNAVAILABLE' });
    elsewhere.close();
  });

  test('a server that ignores conditions is found out before it does harm', async () => {
    const careless = new S3Double({ ignoreConditions: true });
    const other = openDouble(careless, await careless.start());
    await expect(checkStoreFitness(other, 'probe')).rejects.toMatchObject({ code: 'THAW_STORE_UNFIT' });
    expect(careless.objects.size).toBe(0);
    other.close();
    await careless.stop();
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
