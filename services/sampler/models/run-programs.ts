/** The programs of a run: how a checkpoint's network is made of its weights, how it is called, and which batch sizes are right. */
import { createHash } from 'node:crypto';
import {
  contextAt,
  contextInputs,
  degradationOf,
  degradationProgram,
  tableInputs,
  type Degradation,
} from '@thaw/shared/diffusion';
import {
  engineFields,
  fingerprintOf,
  type Compiled,
  type Engine,
  type Fingerprint,
  type ProgramDefinition,
  type TensorData,
} from '@thaw/shared/engine';
import { ThawError, type RunConfig } from '@thaw/shared/protocol';
import { RandomStream, type Logger } from '@thaw/shared/runtime';
import { paddedSize } from '../batching/index.js';
import type { DegradeRow, ImageShape, RowContext, StepOutput, StepRow } from '../ports.js';
import { openGiven } from './given-weights.js';
import { samplingProgram } from './sampling-program.js';
import { VersionNetwork } from './version-network.js';

type Weights = Readonly<Record<string, Float32Array>>;

/**
 * How programs get their weights: as constants of the graph, with filters transformed once for all batch sizes; or at every call, which
 * takes less memory and more time. The bits of an image may differ.
 */
export type WeightsMode = 'constant' | 'given';

export class RunPrograms {
  readonly run: RunConfig;
  readonly degradation: Degradation;
  readonly shape: ImageShape;
  readonly #engine: Engine;
  /** Batch sizes ascending, each with its network call. */
  readonly #allSizes: readonly number[];
  readonly #calls: readonly ProgramDefinition[];
  readonly #degrade: Compiled;
  readonly #largest: number;
  readonly #weights: WeightsMode;
  #sizes: readonly number[];
  #proven: Promise<void> | undefined;

  private constructor(
    engine: Engine,
    run: RunConfig,
    degradation: Degradation,
    sizes: readonly number[],
    degrade: Compiled,
    weights: WeightsMode,
  ) {
    this.#engine = engine;
    this.#weights = weights;
    this.run = run;
    this.degradation = degradation;
    this.shape = { height: run.data.size, width: run.data.size, channels: run.data.channels };
    this.#allSizes = sizes;
    this.#calls = sizes.map((size) => samplingProgram(run, size, degradation));
    this.#degrade = degrade;
    this.#largest = sizes.at(-1)!;
    this.#sizes = [this.#largest];
  }

  /** The programs of `run` for every batch size. {@link prove} decides which sizes are used. */
  static async compile(
    engine: Engine,
    run: RunConfig,
    batchSizes: readonly number[],
    weights: WeightsMode = 'constant',
  ): Promise<RunPrograms> {
    const degradation = degradationOf(run);
    const sizes = [...new Set(batchSizes)].sort((a, b) => a - b);
    const degrade = await engine.load(degradationProgram(run, sizes.at(-1)!, degradation));
    return new RunPrograms(engine, run, degradation, sizes, degrade, weights);
  }

  /**
   * The network of a version. With constant weights it has workers of its own, so that no call of another version waits while it is made
   * ready; with given ones there is nothing to make ready.
   * @param weights in model layout, on shared memory; they must not change
   */
  network(weights: Weights): VersionNetwork {
    return new VersionNetwork(() =>
      this.#weights === 'given'
        ? openGiven(this.#engine, this.#calls, weights)
        : this.#engine.openFixed(this.#calls, weights),
    );
  }

  /** Batch sizes in use, ascending. */
  get batchSizes(): readonly number[] {
    return this.#sizes;
  }

  /**
   * @param partner a picture to mix with, for degradations that do
   * @param redraw 0: that of the start image; each other number has draws of its own
   */
  drawContext(seed: number, row: number, partner?: Float32Array, redraw = 0): RowContext {
    return contextAt(this.degradation, row, (at, purpose) => new RandomStream(seed, purpose, redraw, 0, at), partner);
  }

  /** One network call, padded to the smallest batch size that fits. */
  step(network: VersionNetwork, rows: readonly StepRow[]): Promise<StepOutput[]> {
    return this.#step(network, rows, paddedSize(this.#sizes, rows.length));
  }

  /** Start images: D(x0, s), truncated to 8 bits where the degradation asks for it. */
  async degrade(rows: readonly DegradeRow[]): Promise<Float32Array[]> {
    const results: Float32Array[] = [];
    for (let first = 0; first < rows.length; first += this.#largest) {
      const part = rows.slice(first, first + this.#largest);
      const padded = pad(part, this.#largest);
      const inputs: Record<string, TensorData> = {
        x0: packed(padded.map((row) => row.x0)),
        severity: Int32Array.from(padded, (row) => row.severity),
        ...this.#shared(padded),
      };
      const { degraded } = await this.#degrade.run({ weights: {}, inputs });
      for (let row = 0; row < part.length; row++) {
        const image = rowOf(degraded, row, this.#largest);
        results.push(this.degradation.truncateStart ? image.map(truncatedTo8Bits) : image);
      }
    }
    return results;
  }

  /**
   * Finds out by measuring which batch sizes give a row the same bits as the largest, wherever it stands and whoever its neighbours are.
   * Done once, with the first version.
   * @throws ThawError THAW_ENGINE_NOT_DETERMINISTIC when not even the largest does: nothing that it computes could be promised
   */
  prove(network: VersionNetwork, logger: Logger): Promise<void> {
    this.#proven ??= this.#prove(network, logger).catch((error: unknown) => {
      this.#proven = undefined;
      throw error;
    });
    return this.#proven;
  }

  /**
   * What must be equal for equal bits of degradations and restorations: the engine, the programs, and their bits for fixed rows on the
   * weights of `network`.
   */
  async fingerprint(network: VersionNetwork): Promise<Fingerprint> {
    const rows = this.#probeRows();
    const [outputs, starts, digest] = await Promise.all([
      this.#step(network, rows, this.#largest),
      this.degrade(rows.map(({ x, severity, context }) => ({ x0: x, severity, context }))),
      network.use(async (programs) => programs[this.#allSizes.indexOf(this.#largest)]!.digest),
    ]);
    const hash = createHash('sha256');
    for (const { estimate, degraded, improved, renoised } of outputs)
      for (const image of [estimate, degraded, improved, ...(renoised === undefined ? [] : [renoised])])
        hash.update(bitsOf(image));
    for (const image of starts) hash.update(bitsOf(image));
    return fingerprintOf({
      ...engineFields(this.#engine.describe()),
      batch: String(this.#largest),
      sampling: digest,
      degradation: this.#degrade.digest,
      probe: hash.digest('hex'),
    });
  }

  async #prove(network: VersionNetwork, logger: Logger): Promise<void> {
    const rows = this.#probeRows();
    const expected = await this.#step(network, rows, this.#largest);
    const again = await this.#step(network, [...rows].reverse(), this.#largest);
    if (!again.reverse().every((output, row) => sameBits(output, expected[row]!)))
      throw new ThawError('THAW_ENGINE_NOT_DETERMINISTIC', 'The bits of a row depend on its place in the batch.');
    const proven: number[] = [];
    for (const size of this.#allSizes) {
      // All rows, in groups that straddle the order of the large batch.
      const groups = Array.from({ length: Math.ceil(rows.length / size) }, (_, group) =>
        rows.map((_, row) => row).filter((row) => row % Math.ceil(rows.length / size) === group),
      );
      let same = true;
      for (const group of groups) {
        const outputs = await this.#step(
          network,
          group.map((row) => rows[row]!),
          size,
        );
        same &&= outputs.every((output, i) => sameBits(output, expected[group[i]!]!));
      }
      if (same) proven.push(size);
      else
        logger.warn('A batch size is not used: it gives other bits than the largest', { size, largest: this.#largest });
    }
    this.#sizes = proven.sort((a, b) => a - b);
    if (!proven.includes(this.#largest))
      throw new ThawError('THAW_ENGINE_NOT_DETERMINISTIC', 'The same call gave different bits.');
  }

  async #step(network: VersionNetwork, rows: readonly StepRow[], size: number): Promise<StepOutput[]> {
    const padded = pad(rows, size);
    const inputs: Record<string, TensorData> = {
      x: packed(padded.map((row) => row.x)),
      t: Float32Array.from(padded, (row) => row.severity - 1),
      severity: Int32Array.from(padded, (row) => row.severity),
      nextSeverity: Int32Array.from(padded, (row) => row.nextSeverity),
      ...this.#shared(padded),
    };
    const { restored, degraded, next, renoised } = await network.use((programs) =>
      programs[this.#allSizes.indexOf(size)]!.run({ weights: {}, inputs }),
    );
    return rows.map((_, row) => ({
      estimate: rowOf(restored, row, size),
      degraded: rowOf(degraded, row, size),
      improved: rowOf(next, row, size),
      ...(renoised === undefined ? {} : { renoised: rowOf(renoised, row, size) }),
    }));
  }

  #shared(padded: readonly { context: RowContext }[]): Record<string, TensorData> {
    return {
      ...tableInputs(this.degradation),
      ...contextInputs(
        this.degradation,
        padded.map((row) => row.context),
      ),
    };
  }

  #probeRows(): StepRow[] {
    return Array.from({ length: this.#largest }, (_, row) => this.#probeRow(row));
  }

  #probeRow(row: number): StepRow {
    const stream = new RandomStream(0, 'probe', 0, 0, row);
    const { height, width, channels } = this.shape;
    const x = Float32Array.from({ length: height * width * channels }, () => 2 * stream.uniform() - 1);
    const severity = 1 + (row % this.degradation.steps);
    return { x, severity, nextSeverity: severity - 1, context: this.drawContext(0, row, x.toReversed()) };
  }
}

/** `size` rows; the places that are left over get the last row again. */
const pad = <Row>(rows: readonly Row[], size: number): Row[] =>
  Array.from({ length: size }, (_, i) => rows[Math.min(i, rows.length - 1)]!);

function packed(images: readonly Float32Array[]): Float32Array {
  const length = images[0]!.length;
  const all = new Float32Array(images.length * length);
  images.forEach((image, row) => all.set(image, row * length));
  return all;
}

function rowOf(all: TensorData | undefined, row: number, rows: number): Float32Array {
  if (!(all instanceof Float32Array))
    throw new ThawError('THAW_ENGINE_FAILED', 'A program did not give the images that were due.');
  const length = all.length / rows;
  return all.slice(row * length, (row + 1) * length);
}

function sameBits(a: StepOutput, b: StepOutput): boolean {
  const none = new Float32Array();
  return (['estimate', 'degraded', 'improved', 'renoised'] as const).every((name) =>
    bitsOf(a[name] ?? none).equals(bitsOf(b[name] ?? none)),
  );
}

const bitsOf = (image: Float32Array): Buffer => Buffer.from(image.buffer, image.byteOffset, image.byteLength);

/** Truncation (not rounding) of a value in [-1, 1] to 8 bits, in float32 as `truncateTo8Bits` of shared/diffusion computes it. */
function truncatedTo8Bits(value: number): number {
  const scaled = Math.fround(Math.fround(Math.fround(value + 1) * 0.5) * 255);
  return Math.fround(Math.fround(Math.fround(Math.floor(Math.max(0, scaled)) / 255) * 2) - 1);
}
