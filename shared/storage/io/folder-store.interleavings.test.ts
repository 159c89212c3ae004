/** Random interleavings of system calls of several processes, some of which die between two of them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ThawError } from '../../protocol/index.js';
import { FolderStore } from './folder-store.js';
import type { Operation, Timed } from './linearizability.fixture.js';
import { isLinearizable } from './linearizability.fixture.js';
import { MemoryFs } from './memory-fs.fixture.js';

const key = 'runs/trial/plan';
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** More schedules on demand: THAW_TEST_EFFORT=20 runs twenty times as many, from the seed THAW_TEST_SEED. */
const effort = Number(process.env['THAW_TEST_EFFORT'] ?? 1);
const seed = Number(process.env['THAW_TEST_SEED'] ?? 20260101);

/** Few versions are kept, so that writers that sleep too long are common. */
const kept = 2;

interface Script {
  readonly kinds: readonly Operation['kind'][];
  /** The process dies at this system call, counted over all it makes. */
  readonly diesAt: number;
}

/**
 * Lets the process of the highest priority go, except that at a few random moments the running one is put behind all
 * others (Burckhardt et al., ASPLOS 2010): long sleeps at one bad moment are as likely as any other schedule.
 */
class Scheduler {
  readonly #waiting: { process: number; go: () => void }[] = [];
  readonly #changes: ReadonlySet<number>;
  /** Processes, the first goes first. */
  readonly #order: number[];

  constructor(order: readonly number[], changes: readonly number[]) {
    this.#order = [...order];
    this.#changes = new Set(changes);
  }

  /** What a process awaits before each system call; it dies at call number `diesAt`, which it then awaits for ever. */
  gate(process: number, diesAt: number): () => Promise<void> {
    let count = 0;
    return () =>
      new Promise((go) => {
        count += 1;
        if (count <= diesAt) this.#waiting.push({ process, go });
      });
  }

  /** Lets waiting calls go one by one, until none is waiting. */
  async run(): Promise<void> {
    for (let step = 0; ; step += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      const process = this.#order.find((candidate) => this.#waiting.some((call) => call.process === candidate));
      if (process === undefined) return;
      const index = this.#waiting.findIndex((call) => call.process === process);
      this.#waiting.splice(index, 1)[0]!.go();
      if (!this.#changes.has(step)) continue;
      this.#order.splice(this.#order.indexOf(process), 1);
      this.#order.push(process);
    }
  }
}

async function play(scripts: readonly Script[], changes: readonly number[]): Promise<Timed[]> {
  const fs = new MemoryFs();
  const scheduler = new Scheduler([...scripts.keys()], changes);
  const history: { operation: Operation; begin: number; end: number }[] = [];
  let clock = 0;
  let stamp = 0;
  /** Which content an etag was seen with. */
  const contentOf = new Map<string, string>();

  async function perform(store: FolderStore, kind: Operation['kind'], known: { etag?: string }): Promise<void> {
    stamp += 1;
    const content = `content ${stamp} ${'x'.repeat(stamp % 3)}`;
    const remember = (etag: string, text: string): void => {
      known.etag = etag;
      contentOf.set(etag, text);
    };
    const entry = {
      operation: { kind, content, expected: contentOf.get(known.etag ?? '') ?? 'nothing' } as Operation,
      begin: clock++,
      end: Infinity,
    };
    history.push(entry);
    const finish = (result: object): void => {
      entry.operation = { ...entry.operation, result } as Operation;
      entry.end = clock++;
    };
    try {
      if (kind === 'get') {
        const found = await store.get(key);
        if (found !== undefined) remember(found.etag, decode(found.bytes));
        finish({ content: found && decode(found.bytes) });
      } else if (kind === 'create') {
        const { created, etag } = await store.putIfAbsent(key, encode(content));
        if (created) remember(etag, content);
        finish({ created });
      } else if (kind === 'swap') {
        const { swapped, etag } = await store.compareAndSwap(key, encode(content), known.etag ?? 'none');
        if (swapped) remember(etag!, content);
        finish({ swapped });
      } else if (kind === 'put') {
        remember((await store.put(key, encode(content))).etag, content);
        finish({});
      } else {
        await store.delete(key);
        finish({});
      }
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== 'THAW_STORE_AMBIGUOUS') throw error;
    }
  }

  const failures: unknown[] = [];
  for (const [index, { kinds, diesAt }] of scripts.entries()) {
    const store = new FolderStore('/', fs.process(scheduler.gate(index, diesAt)), kept);
    const known: { etag?: string } = {};
    void (async () => {
      for (const kind of kinds) await perform(store, kind, known);
    })().catch((error: unknown) => failures.push(error));
  }
  await scheduler.run();

  // Whoever died, the next one gets through at once: no lock is left behind.
  const after = new FolderStore(
    '/',
    fs.process(async () => {}),
    kept,
  );
  const known: { etag?: string } = {};
  await perform(after, 'get', known);
  await perform(after, known.etag === undefined ? 'create' : 'swap', known);
  await perform(after, 'get', known);
  expect(failures).toEqual([]);
  const [write, read] = history.slice(-2).map(({ operation }) => operation);
  expect(write!.result).toEqual(write!.kind === 'create' ? { created: true } : { swapped: true });
  expect(read!.result).toEqual({ content: (write as { content: string }).content });
  return history;
}

const script = (kinds: readonly Operation['kind'][]): fc.Arbitrary<Script> =>
  fc.record({
    kinds: fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 7, size: 'max' }),
    diesAt: fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, { weight: 1, arbitrary: fc.nat(60) }),
  });
const changes = fc.array(fc.nat(150), { maxLength: 6, size: 'max' });

async function check(kinds: readonly Operation['kind'][], numRuns: number): Promise<void> {
  const scripts = fc.array(script(kinds), { minLength: 2, maxLength: 3, size: 'max' });
  const property = fc.asyncProperty(scripts, changes, async (processes, moments) => {
    const history = await play(processes, moments);
    if (!isLinearizable(history)) throw new Error(`not linearizable: ${JSON.stringify(history, undefined, 1)}`);
  });
  await fc.assert(property, { numRuns: numRuns * effort, seed });
}

describe('any interleaving of processes, with deaths between any two system calls', () => {
  test('creations, swaps, deletions, replacements and reads look as if done one at a time', () =>
    check(['get', 'create', 'swap', 'swap', 'swap', 'put', 'delete'], 800));

  test('so do creations, swaps and reads', () => check(['create', 'get', 'swap', 'swap'], 400));

  test('so do creations and deletions beside swaps', () => check(['create', 'create', 'swap', 'swap', 'delete'], 800));

  test('so do reads beside everything that changes', () => check(['get', 'get', 'swap', 'put', 'delete'], 400));
});

describe('the checker', () => {
  test('sees a lost update, and a read of the past', () => {
    const created: Timed = { operation: { kind: 'create', content: 'a', result: { created: true } }, begin: 0, end: 1 };
    const swap = (content: string, begin: number): Timed => ({
      operation: { kind: 'swap', expected: 'a', content, result: { swapped: true } },
      begin,
      end: begin + 3,
    });
    const read = (content: string, begin: number): Timed => ({
      operation: { kind: 'get', result: { content } },
      begin,
      end: begin + 1,
    });
    expect(isLinearizable([created, swap('b', 2), swap('c', 3)])).toBe(false);
    expect(isLinearizable([created, swap('b', 2), read('a', 6)])).toBe(false);
    expect(isLinearizable([created, swap('b', 2), read('a', 3), read('b', 6)])).toBe(true);
  });
});
