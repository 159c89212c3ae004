/** Writers that sleep at the worst moment and wake up late: each scene stops one before a certain system call. */
import { expect, test } from 'vitest';
import { FolderStore } from './folder-store.js';
import { MemoryFs } from './memory-fs.fixture.js';

const key = 'runs/trial/plan';
const kept = 2;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const inDoubt = { code: 'THAW_STORE_AMBIGUOUS' };

class Sleeper {
  readonly store: FolderStore;
  #call: string | undefined;
  #asleep: () => void = () => {};
  #wake: () => void = () => {};

  constructor(fs: MemoryFs) {
    const before = async (call: string): Promise<void> => {
      if (call !== this.#call) return;
      this.#call = undefined;
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      this.#asleep();
      await woken;
    };
    this.store = new FolderStore('/', fs.process(before), kept);
  }

  /** Falls asleep before the next system call of this name; resolves when it has. */
  readonly sleepBefore = (call: string): Promise<void> => {
    this.#call = call;
    return new Promise((resolve) => (this.#asleep = resolve));
  };

  readonly wake = (): void => this.#wake();
}

function stage() {
  const fs = new MemoryFs();
  const awake = new FolderStore(
    '/',
    fs.process(async () => {}),
    kept,
  );
  const read = async (): Promise<string | undefined> => {
    const found = await awake.get(key);
    return found && new TextDecoder().decode(found.bytes);
  };
  /** Swaps the object once for each text. */
  const swapAll = async (...texts: string[]): Promise<void> => {
    for (const text of texts) {
      const { etag } = (await awake.head(key))!;
      expect((await awake.compareAndSwap(key, encode(text), etag)).swapped).toBe(true);
    }
  };
  return { fs, awake, read, swapAll, sleeper: () => new Sleeper(fs) };
}

test('a swapper that sleeps through a few swaps has lost', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  await awake.putIfAbsent(key, encode('first'));
  await swapAll('a');
  const { store, sleepBefore, wake } = sleeper();
  const { etag } = (await store.head(key))!;
  const asleep = sleepBefore('link');
  const late = store.compareAndSwap(key, encode('late'), etag);
  await asleep;
  await swapAll('b', 'c');
  wake();
  expect(await late).toMatchObject({ swapped: false });
  expect(await read()).toBe('c');
});

test('a swapper that sleeps until its version number is free again says that it is in doubt, and nobody sees its bytes', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  await awake.putIfAbsent(key, encode('first'));
  await swapAll('a');
  const { store, sleepBefore, wake } = sleeper();
  const { etag } = (await store.head(key))!;
  const asleep = sleepBefore('link');
  const late = store.compareAndSwap(key, encode('late'), etag);
  await asleep;
  await swapAll('b', 'c', 'd', 'e');
  wake();
  await expect(late).rejects.toMatchObject(inDoubt);
  expect(await read()).toBe('e');
  await swapAll('f');
  expect(await read()).toBe('f');
});

test('a put that comes after the first swap of the object does not claim to have replaced it', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  await awake.putIfAbsent(key, encode('first'));
  const { store, sleepBefore, wake } = sleeper();
  const asleep = sleepBefore('rename');
  const late = store.put(key, encode('late'));
  await asleep;
  await swapAll('a');
  wake();
  await expect(late).rejects.toMatchObject(inDoubt);
  expect(await read()).toBe('a');
});

test('a deletion that began before the first swap of the object deletes it all the same', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  await awake.putIfAbsent(key, encode('first'));
  const { store, sleepBefore, wake } = sleeper();
  const asleep = sleepBefore('link');
  const late = store.delete(key);
  await asleep;
  await swapAll('a');
  wake();
  await late;
  expect(await read()).toBeUndefined();
});

test('a deletion that meets another object under its key does not delete twice', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  await awake.putIfAbsent(key, encode('first'));
  const { store, sleepBefore, wake } = sleeper();
  const asleep = sleepBefore('fsync folder');
  const late = store.delete(key);
  await asleep;
  // The sleeper makes the temporary folder first: let it go on to the sync after its unlink.
  const again = sleepBefore('fsync folder');
  wake();
  await again;
  expect(await read()).toBeUndefined();
  await awake.putIfAbsent(key, encode('second'));
  await swapAll('a');
  wake();
  await expect(late).rejects.toMatchObject(inDoubt);
  expect(await read()).toBe('a');
});

test('a creator whose file was made a version too late does not take it for the object', async () => {
  const { awake, read, swapAll, sleeper } = stage();
  const creator = sleeper();
  const creatorAsleep = creator.sleepBefore('link');
  const creation = creator.store.putIfAbsent(key, encode('late creation'));
  await creatorAsleep;
  const { etag } = await awake.putIfAbsent(key, encode('first'));
  const swapper = sleeper();
  const swapperAsleep = swapper.sleepBefore('link');
  const swap = swapper.store.compareAndSwap(key, encode('late swap'), etag);
  await swapperAsleep;
  await swapAll('a', 'b', 'c');
  // The first version is gone by now, and so is its other name: the creator's link succeeds ...
  const creatorAgain = creator.sleepBefore('fsync folder');
  creator.wake();
  await creatorAgain;
  // ... and the swapper makes it version 1.
  swapper.wake();
  expect(await swap).toMatchObject({ swapped: false });
  creator.wake();
  await expect(creation).rejects.toMatchObject(inDoubt);
  expect(await read()).toBe('c');
});
