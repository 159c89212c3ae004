import { expect, it } from 'vitest';
import { readsSharedMemory } from './shared-memory.js';

it('says whether this Node lets the binding read shared memory', async () => {
  const major = Number(process.versions.node.split('.')[0]);
  // Node 20.20 refuses it; 22.23 and 24.21 do not. Of other versions of 22 nothing is known.
  if (major !== 22) expect(await readsSharedMemory('cpu')).toBe(major > 22);
});
