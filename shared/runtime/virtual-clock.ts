/** A clock that stands still until it is told to move: for tests and simulations. */
import type { Clock, Timer } from './clock.js';

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly fn: () => void;
}

/**
 * Timers fire in order of their due time, those due together in the order they were set, each with the clock standing
 * exactly at its due time. Same calls, same order: a simulation on this clock replays.
 */
export class VirtualClock implements Clock {
  #nowMs: number;
  readonly #wallOffsetMs: number;
  #order = 0;
  /** Binary heap by (dueMs, order); cancelled entries stay until they surface. */
  readonly #heap: Pending[] = [];
  readonly #live = new Set<Pending>();

  constructor({ startMs = 0, wallTimeMs = 1_700_000_000_000 } = {}) {
    this.#nowMs = startMs;
    this.#wallOffsetMs = wallTimeMs - startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallTimeMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn };
    this.#live.add(pending);
    this.#push(pending);
    return { cancel: () => void this.#live.delete(pending) };
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingCount(): number {
    return this.#live.size;
  }

  /** Due time of the next timer, or undefined when there is none. */
  get nextDueMs(): number | undefined {
    this.#dropCancelled();
    return this.#heap[0]?.dueMs;
  }

  /** Moves `ms` forward and fires every timer due on the way, those set meanwhile included. Synchronous: promises run later. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    while ((this.nextDueMs ?? Infinity) <= endMs) this.#fireNext();
    this.#nowMs = endMs;
  }

  /** Like {@link advance}, but lets promise callbacks run before, between and after the timers. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    while ((this.nextDueMs ?? Infinity) <= endMs) {
      this.#fireNext();
      await settle();
    }
    this.#nowMs = endMs;
  }

  /** Fires timers until none is left. Throws after `limit` timers: something keeps setting new ones. */
  runUntilIdle(limit = 1_000_000): void {
    for (let fired = 0; this.nextDueMs !== undefined; fired++) {
      if (fired >= limit) throw new Error(`The virtual clock fired ${limit} timers and is still not idle.`);
      this.#fireNext();
    }
  }

  #fireNext(): void {
    this.#dropCancelled();
    const next = this.#pop();
    if (next === undefined) return;
    this.#live.delete(next);
    this.#nowMs = next.dueMs;
    next.fn();
  }

  #dropCancelled(): void {
    while (this.#heap[0] !== undefined && !this.#live.has(this.#heap[0])) this.#pop();
  }

  #push(item: Pending): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }

  #pop(): Pending | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

const before = (a: Pending, b: Pending): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);

/** Lets every promise callback that is ready, and those they make ready, run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
