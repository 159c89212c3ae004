/** Jobs in the object store: typed reads and writes of what `jobs/keys.ts` names. */
import { JobSpecSchema, ThawError, type JobSpec } from '@thaw/shared/protocol';
import { decodeSafetensors, encodeSafetensors, type ObjectStore, type Tensor } from '@thaw/shared/storage';
import type { z } from 'zod';
import { JobEndSchema, jobKeys, KeeperSchema, openJobId, stateSeverity, type JobEnd } from '../jobs/index.js';
import type { ImageShape, Pixels } from '../ports.js';
import type { TensorImage } from './tensor-image.js';

/** Images of one object by name, float32 [H, W, C]. */
export type Images = Readonly<Record<string, Float32Array>>;

const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value)}\n`);

function decodeJson<S extends z.ZodType>(schema: S, bytes: Uint8Array, key: string): z.output<S> {
  try {
    return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (cause) {
    throw new ThawError('THAW_INTERNAL', `The stored object ${key} is not what it should be.`, { cause });
  }
}

function encodeImages(images: Images, { height, width, channels }: ImageShape): Uint8Array {
  const shape = [height, width, channels];
  return encodeSafetensors(
    Object.fromEntries(
      Object.entries(images).map(([name, data]) => [name, { dtype: 'F32', shape, data: data as Tensor['data'] }]),
    ),
  );
}

function decodeImages(bytes: Uint8Array): { images: Images; shape: ImageShape } {
  const { tensors } = decodeSafetensors(bytes);
  let shape: ImageShape = { height: 0, width: 0, channels: 0 };
  const images: Record<string, Float32Array> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name === 'errors') continue; // of an estimate
    if (!(tensor.data instanceof Float32Array) || tensor.shape.length !== 3)
      throw new ThawError('THAW_INTERNAL', `The stored tensor ${name} is not an image.`);
    shape = { height: tensor.shape[0]!, width: tensor.shape[1]!, channels: tensor.shape[2]! };
    images[name] = tensor.data;
  }
  return { images, shape };
}

/** An older specification is read again: the job may have been removed since. Jobs are kept for longer than this at the least. */
const rememberedMs = 3_600_000;

/** Which samplers may compute or keep a job is no business of this class. */
export class JobStore {
  readonly #store: ObjectStore;
  readonly #specs = new Map<string, JobSpec>();

  readonly #wallTimeMs: () => number;

  constructor(store: ObjectStore, { wallTimeMs }: { wallTimeMs(): number }) {
    this.#store = store;
    this.#wallTimeMs = wallTimeMs;
  }

  /** Everything that must be durable before a job is accepted: the input, the keeper's mark, the specification last. */
  async create(spec: JobSpec, keeper: string, input?: Pixels | TensorImage): Promise<void> {
    if (input !== undefined) {
      const shape = [input.height, input.width, input.channels];
      const image: Tensor =
        'values' in input
          ? { dtype: 'F32', shape, data: input.values as Tensor['data'] }
          : { dtype: 'U8', shape, data: input.bytes as Tensor['data'] };
      await this.#store.putIfAbsent(jobKeys.input(spec.id), encodeSafetensors({ image }));
    }
    await this.#store.putIfAbsent(jobKeys.open(spec.id), this.#keeperBytes(keeper, spec.acceptedMs));
    await this.#store.putIfAbsent(jobKeys.spec(spec.id), encodeJson(spec));
    this.#remember(spec);
  }

  async spec(id: string): Promise<JobSpec | undefined> {
    const known = this.#specs.get(id);
    if (known !== undefined && this.#wallTimeMs() - known.acceptedMs < rememberedMs) return known;
    const key = jobKeys.spec(id);
    const stored = await this.#store.get(key);
    if (stored === undefined) return undefined;
    const spec = decodeJson(JobSpecSchema, stored.bytes, key);
    this.#remember(spec);
    return spec;
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND */
  async mustHave(id: string): Promise<JobSpec> {
    const spec = await this.spec(id);
    if (spec === undefined) throw new ThawError('THAW_JOB_NOT_FOUND', `There is no job ${id}.`);
    return spec;
  }

  /** Start image of a restore job, [H, W, C]: uint8, or float32 where exact values were sent. */
  async input(id: string): Promise<Uint8Array | Float32Array> {
    const stored = await this.#store.get(jobKeys.input(id));
    const image = stored && decodeSafetensors(stored.bytes).tensors.image?.data;
    if (!(image instanceof Uint8Array) && !(image instanceof Float32Array))
      throw new ThawError('THAW_INTERNAL', `The input of job ${id} is missing.`);
    return image;
  }

  /** Rows whose results are stored. */
  async doneRows(spec: JobSpec): Promise<Set<number>> {
    const done = new Set<number>();
    for await (const { key } of this.#store.list(`jobs/${spec.id}/`)) {
      const match = /^jobs\/[0-9a-f]+\/(\d+)\.safetensors$/.exec(key);
      if (match !== null && Number(match[1]) < spec.count) done.add(Number(match[1]));
    }
    return done;
  }

  async hasResult(id: string, row: number): Promise<boolean> {
    return (await this.#store.head(jobKeys.result(id, row))) !== undefined;
  }

  /** Stores a row's result once; a second writer has the same bytes, and loses without harm. */
  async putResult(id: string, row: number, images: Images, shape: ImageShape): Promise<void> {
    await this.putResultBytes(id, row, encodeImages(images, shape));
  }

  async putResultBytes(id: string, row: number, bytes: Uint8Array): Promise<void> {
    await this.#store.putIfAbsent(jobKeys.result(id, row), bytes);
  }

  /** Removes the results of a job that is over. */
  async removeResults(spec: JobSpec): Promise<void> {
    for (const row of await this.doneRows(spec)) await this.#store.delete(jobKeys.result(spec.id, row));
  }

  async resultBytes(id: string, row: number): Promise<Uint8Array | undefined> {
    return (await this.#store.get(jobKeys.result(id, row)))?.bytes;
  }

  async result(id: string, row: number): Promise<{ images: Images; shape: ImageShape } | undefined> {
    const bytes = await this.resultBytes(id, row);
    return bytes && decodeImages(bytes);
  }

  async putState(id: string, row: number, severity: number, images: Images, shape: ImageShape): Promise<void> {
    await this.#store.put(jobKeys.state(id, row, severity), encodeImages(images, shape));
  }

  async putHandoff(id: string, row: number, severity: number, images: Images, shape: ImageShape): Promise<void> {
    await this.#store.put(jobKeys.handoff(id, row, severity), encodeImages(images, shape));
  }

  async state(id: string, row: number, severity: number): Promise<{ images: Images; shape: ImageShape } | undefined> {
    const stored = await this.#store.get(jobKeys.state(id, row, severity));
    return stored && decodeImages(stored.bytes);
  }

  /** The furthest saved state of a row, from whoever computed it before. */
  async furthestState(id: string, row: number): Promise<{ severity: number; images: Images } | undefined> {
    let best: { severity: number; key: string } | undefined;
    for (const prefix of [jobKeys.statesOf(id, row), jobKeys.handoffsOf(id, row)])
      for await (const { key } of this.#store.list(prefix)) {
        const severity = stateSeverity(key);
        if (severity !== undefined && (best === undefined || severity < best.severity)) best = { severity, key };
      }
    const stored = best && (await this.#store.get(best.key));
    return stored && { severity: best!.severity, images: decodeImages(stored.bytes).images };
  }

  async end(id: string): Promise<JobEnd | undefined> {
    const key = jobKeys.end(id);
    const stored = await this.#store.get(key);
    return stored && decodeJson(JobEndSchema, stored.bytes, key);
  }

  /** Ends a job once and for all, and takes it off the list of open ones. The first reason stays. */
  async putEnd(id: string, end: JobEnd): Promise<JobEnd> {
    await this.#store.putIfAbsent(jobKeys.end(id), encodeJson(end));
    const stored = (await this.end(id)) ?? end;
    await this.close(id);
    return stored;
  }

  /** Takes a job off the list of open ones. */
  async close(id: string): Promise<void> {
    await this.#store.delete(jobKeys.open(id));
  }

  async openJobs(): Promise<{ id: string; modifiedMs: number }[]> {
    const jobs: { id: string; modifiedMs: number }[] = [];
    for await (const { key, modifiedMs } of this.#store.list(jobKeys.openPrefix)) {
      const id = openJobId(key);
      if (id !== undefined) jobs.push({ id, modifiedMs });
    }
    return jobs;
  }

  /** Who keeps an open job ('' when nobody does), and the tag to replace them with. */
  async keeper(id: string): Promise<{ keeper: string; etag: string } | undefined> {
    const key = jobKeys.open(id);
    const stored = await this.#store.get(key);
    return stored && { keeper: decodeJson(KeeperSchema, stored.bytes, key).keeper, etag: stored.etag };
  }

  /** Makes `keeper` the keeper if nobody changed it since `etag`. */
  async takeOver(id: string, keeper: string, nowMs: number, etag: string): Promise<boolean> {
    return (await this.#store.compareAndSwap(jobKeys.open(id), this.#keeperBytes(keeper, nowMs), etag)).swapped;
  }

  #keeperBytes(keeper: string, sinceMs: number): Uint8Array {
    return encodeJson({ format: 'thaw.open-job/1', keeper, sinceMs });
  }

  #remember(spec: JobSpec): void {
    this.#specs.set(spec.id, spec);
    if (this.#specs.size > 1000) this.#specs.delete(this.#specs.keys().next().value!);
  }
}
