/**
 * The loss curve in the object store, a file with each checkpoint, so that a resumed run shows all of it. A cache: what is lost or cannot
 * be read is missing from a picture, and from nothing else.
 */
import type { Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import { z } from 'zod';
import type { StepPoint } from '../views/status.js';

const number = z.number().nullable();
const FileSchema = z.array(z.tuple([z.int().min(0), number, number]));

const prefix = (run: string): string => `runs/${run}/history/`;
const decode = (bytes: Uint8Array): z.infer<typeof FileSchema> =>
  FileSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));

export class LossHistory {
  readonly #store: ObjectStore;
  readonly #run: string;
  readonly #logger: Logger;
  #unsaved: StepPoint[] = [];

  constructor(store: ObjectStore, run: string, logger: Logger) {
    this.#store = store;
    this.#run = run;
    this.#logger = logger;
  }

  add(point: StepPoint): void {
    this.#unsaved.push(point);
  }

  /** Stores what was added since the last time. Where another leader has stored some with that checkpoint, this goes with a later one. */
  async save(throughStep: number): Promise<void> {
    const points = this.#unsaved;
    this.#unsaved = [];
    const text = JSON.stringify(points.map(({ step, loss, imagesPerSecond }) => [step, loss, imagesPerSecond]));
    const key = `${prefix(this.#run)}${String(throughStep).padStart(10, '0')}.json`;
    const stored = await this.#store.putIfAbsent(key, new TextEncoder().encode(text)).catch((err: unknown) => {
      this.#logger.warn('The loss history could not be stored', { err });
      return { created: false };
    });
    if (!stored.created) this.#unsaved = [...points, ...this.#unsaved];
  }

  /** The leader has stored the steps below: whoever stands by need not keep them. */
  savedByOthers(throughStep: number): void {
    this.#unsaved = this.#unsaved.filter(({ step }) => step >= throughStep);
  }

  /** All points below `beforeStep`, each step once, in order. */
  async load(beforeStep: number): Promise<StepPoint[]> {
    const byStep = new Map<number, StepPoint>();
    for await (const { key } of this.#store.list(prefix(this.#run))) {
      try {
        const object = await this.#store.get(key);
        for (const [step, loss, imagesPerSecond] of object === undefined ? [] : decode(object.bytes))
          if (step < beforeStep) byStep.set(step, { step, loss, imagesPerSecond });
      } catch (err) {
        this.#logger.warn('A part of the loss history cannot be read', { key, err });
      }
    }
    return [...byStep.values()].sort((a, b) => a.step - b.step);
  }
}
