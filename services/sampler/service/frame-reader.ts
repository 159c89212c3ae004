/** Kept states of a job as pictures. */
import { unitToPixels } from '@thaw/shared/pixels';
import type { JobSpec } from '@thaw/shared/protocol';
import type { FrameName } from '../jobs/index.js';
import type { ImageCodec, ImageShape } from '../ports.js';
import type { JobStore } from './job-store.js';

/** PNG files of x_s and of the estimate x̂0; both the result at severity 0. */
export interface Frame extends FrameName {
  readonly x: Uint8Array;
  readonly estimate: Uint8Array;
}

export class FrameReader {
  readonly #jobs: JobStore;
  readonly #images: ImageCodec;

  constructor(jobs: JobStore, images: ImageCodec) {
    this.#jobs = jobs;
    this.#images = images;
  }

  /** Undefined while the state is not stored. */
  async read(spec: JobSpec, name: FrameName): Promise<Frame | undefined> {
    const { row, severity } = name;
    const found =
      severity === 0 ? await this.#jobs.result(spec.id, row) : await this.#jobs.state(spec.id, row, severity);
    if (found === undefined) return undefined;
    const x = await this.#encode(severity === 0 ? found.images.sampled! : found.images.x!, found.shape);
    const estimate = severity === 0 ? x : await this.#encode(found.images.estimate!, found.shape);
    return { ...name, x, estimate };
  }

  /** The image that a finished row began with, before it was degraded; undefined if the job was given a degraded one. */
  async original(spec: JobSpec, row: number): Promise<Uint8Array | undefined> {
    const found = await this.#jobs.result(spec.id, row);
    const image = found?.images.original;
    return image === undefined ? undefined : this.#encode(image, found!.shape);
  }

  #encode(image: Float32Array, shape: ImageShape): Promise<Uint8Array> {
    return this.#images.encodePng({ ...shape, bytes: unitToPixels(image) });
  }
}
