/** Runs the lanes that the machine asks for: waits for the lease, reads the samples, computes, hands the gradient back. */
import type { LaneEngine } from './lane-engine.js';
import type { LaneSource } from './lane-source.js';
import type { TrainerEvent } from '../member/events.js';
import type { Layout } from '../reduce/index.js';

/** So many gradients are kept between steps; what a step with more lanes needs beyond is made anew. */
const keptGradients = 4;

export interface LaneRunnerOptions {
  readonly engine: LaneEngine;
  readonly layout: Layout;
  readonly source: LaneSource;
  /** Views on the weights by name; read in place while a lane runs. */
  readonly weights: Readonly<Record<string, Float32Array>>;
  readonly nowMs: () => number;
  readonly dispatch: (event: TrainerEvent) => void;
}

export class LaneRunner {
  readonly #options: LaneRunnerOptions;
  readonly #running = new Map<string, { step: number; lane: number; abort: AbortController }>();
  /** Gradients that nobody needs any more; the engine fills them anew. */
  readonly #free: Float32Array[] = [];

  constructor(options: LaneRunnerOptions) {
    this.#options = options;
  }

  start(step: number, lane: number): void {
    const key = `${step}/${lane}`;
    if (this.#running.has(key)) return;
    const abort = new AbortController();
    this.#running.set(key, { step, lane, abort });
    // A cancelled lane is forgotten at once, so that it can be asked for again while its last call still runs out.
    void this.#compute(step, lane, abort.signal).then(
      (event) => {
        if (abort.signal.aborted) return this.release(event.gradient);
        this.#running.delete(key);
        this.#options.dispatch(event);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        this.#running.delete(key);
        this.#options.dispatch({ kind: 'laneFailed', step, lane, message: (error as Error).message });
      },
    );
  }

  cancelThrough(step: number): void {
    for (const running of [...this.#running.values()])
      if (running.step <= step) this.cancel(running.step, running.lane);
  }

  cancel(step: number, lane: number): void {
    const key = `${step}/${lane}`;
    this.#running.get(key)?.abort.abort();
    this.#running.delete(key);
  }

  release(gradient: Float32Array): void {
    if (this.#free.length < keptGradients) this.#free.push(gradient);
  }

  async #compute(
    step: number,
    lane: number,
    signal: AbortSignal,
  ): Promise<Extract<TrainerEvent, { kind: 'laneDone' }>> {
    const { engine, layout, source, weights, nowMs } = this.#options;
    const images = await source.read(lane, step, signal);
    const startMs = nowMs();
    const space = this.#free.pop() ?? new Float32Array(layout.valueCount);
    const places = layout.tensors.map(
      ({ name, offset, size }) => [name, space.subarray(offset, offset + size)] as const,
    );
    const { loss, gradients } = await engine.compute(step, lane, images, weights, signal, Object.fromEntries(places));
    // The same memory, which has been to the engine's worker and back.
    const gradient = new Float32Array(gradients[layout.tensors[0]!.name]!.buffer);
    return { kind: 'laneDone', step, lane, loss, gradient, computeMs: nowMs() - startMs };
  }
}
