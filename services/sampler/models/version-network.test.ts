import type { FixedPrograms } from '@thaw/shared/engine';
import { expect, it } from 'vitest';
import { VersionNetwork } from './version-network.js';

function network(): { network: VersionNetwork; log: string[] } {
  const log: string[] = [];
  const make = async (): Promise<FixedPrograms> => {
    log.push('opened');
    return { programs: [], close: async () => void log.push('closed') };
  };
  return { network: new VersionNetwork(make), log };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('is opened once, at its first use, and stays open', async () => {
  const { network: it, log } = network();
  expect(log).toEqual([]);
  await Promise.all([it.use(async () => 1), it.use(async () => 2)]);
  await it.use(async () => 3);
  expect(log).toEqual(['opened']);
});

it('given up while calls and rows hold it, it is closed after the last of them', async () => {
  const { network: it, log } = network();
  let finish!: () => void;
  const call = it.use(() => new Promise<void>((resolve) => (finish = resolve)));
  await settled();
  const release = it.hold();
  it.giveUp();
  finish();
  await call;
  await settled();
  expect(log).toEqual(['opened']);
  release();
  release(); // counts once
  await settled();
  expect(log).toEqual(['opened', 'closed']);
});

it('used after that, it is opened for this use only', async () => {
  const { network: it, log } = network();
  it.giveUp();
  expect(await it.use(async () => 7)).toBe(7);
  await settled();
  expect(log).toEqual(['opened', 'closed']);
});

it('that could not be opened is tried again', async () => {
  let tries = 0;
  const it = new VersionNetwork(async () => {
    if (tries++ === 0) throw new Error('no memory');
    return { programs: [], close: async () => undefined };
  });
  await expect(it.use(async () => 1)).rejects.toThrow('no memory');
  expect(await it.use(async () => 1)).toBe(1);
  await it.close();
});
