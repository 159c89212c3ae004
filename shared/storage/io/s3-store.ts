/**
 * An object store on S3 or a server that speaks its protocol with conditional writes (`If-None-Match: *` and `If-Match` on PUT).
 *
 * Every write carries a random writer mark in its metadata. When the answer to a conditional write is lost and the retry is
 * refused, the mark tells whether it was this very write that got there first. S3 etags are digests of the content: an object
 * that is changed and changed back has its old etag again, so what is changed by compare-and-swap must never repeat itself
 * (plans carry counters).
 */
import { randomBytes } from 'node:crypto';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { ThawError } from '../../protocol/index.js';
import type { ByteRange, ListedObject, ObjectHead, ObjectStore, StoredObject } from '../store/index.js';
import { checkKey, checkPrefix } from '../store/index.js';
import type { S3Failure } from './s3-failures.js';
import { classify } from './s3-failures.js';

export interface S3StoreOptions {
  readonly bucket: string;
  /** Put before every key, with a slash between; '' for none. */
  readonly prefix: string;
  /** Attempts per operation. */
  readonly attempts?: number;
  /** Wait before the second attempt; doubled for each further one, with jitter. */
  readonly retryDelayMs?: number;
}

export interface S3Location extends S3StoreOptions {
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly pathStyle: boolean;
  /** For tests; the SDK's default chain (environment first) otherwise. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

interface MarkedHead extends ObjectHead {
  readonly writer: string | undefined;
}

const writerKey = 'thaw-writer';

export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #attempts: number;
  readonly #retryDelayMs: number;

  constructor(client: S3Client, options: S3StoreOptions) {
    this.#client = client;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix === '' ? '' : `${options.prefix}/`;
    this.#attempts = options.attempts ?? 6;
    this.#retryDelayMs = options.retryDelayMs ?? 100;
  }

  /** Makes a client; nothing is sent yet. Retries are this class's own, which knows what may be repeated. */
  static open(location: S3Location): S3Store {
    const client = new S3Client({
      region: location.region,
      forcePathStyle: location.pathStyle,
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: { connectionTimeout: 5_000, requestTimeout: 120_000 },
      ...(location.endpoint === undefined ? {} : { endpoint: location.endpoint }),
      ...(location.credentials === undefined ? {} : { credentials: location.credentials }),
    });
    return new S3Store(client, location);
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    if (range !== undefined && range.length <= 0) return this.#nothingOf(key);
    const found = await this.#retried(key, async () => {
      const answer = await this.#client.send(
        new GetObjectCommand({
          ...this.#at(key),
          ...(range === undefined ? {} : { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }),
        }),
      );
      const bytes = (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
      if (answer.ContentLength !== undefined && answer.ContentLength !== bytes.byteLength)
        throw new Error(`${bytes.byteLength} of ${answer.ContentLength} bytes arrived`);
      return { bytes, etag: answer.ETag ?? '' };
    });
    if (found.ok) return found.value;
    if (found.failure === 'beyond') return this.#nothingOf(key);
    if (found.failure === 'absent') return undefined;
    throw this.#unavailable(key, found.error);
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    checkKey(key);
    const found = await this.#markedHead(key);
    return found && { size: found.size, etag: found.etag, modifiedMs: found.modifiedMs };
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<{ created: boolean; etag: string }> {
    checkKey(key);
    const outcome = await this.#conditionalPut(key, bytes, { IfNoneMatch: '*' });
    if (outcome.done) return { created: true, etag: outcome.etag };
    if (outcome.present === undefined)
      throw new ThawError(
        'THAW_STORE_UNAVAILABLE',
        `The store refused to create ${key} but says that it is not there.`,
      );
    return { created: false, etag: outcome.present.etag };
  }

  async compareAndSwap(
    key: string,
    bytes: Uint8Array,
    expectedEtag: string,
  ): Promise<{ swapped: boolean; etag?: string }> {
    checkKey(key);
    const outcome = await this.#conditionalPut(key, bytes, { IfMatch: expectedEtag });
    if (outcome.done) return { swapped: true, etag: outcome.etag };
    // An earlier attempt may have been carried out and then been replaced by somebody else's write.
    if (outcome.uncertain) throw inDoubt(key);
    return outcome.present === undefined ? { swapped: false } : { swapped: false, etag: outcome.present.etag };
  }

  async put(key: string, bytes: Uint8Array): Promise<{ etag: string }> {
    checkKey(key);
    const written = await this.#retried(key, () =>
      this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: bytes, ContentLength: bytes.byteLength })),
    );
    if (!written.ok) throw this.#unavailable(key, written.error);
    return { etag: written.value.ETag ?? '' };
  }

  async *list(prefix: string): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    let token: string | undefined;
    do {
      const page = await this.#retried(prefix, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        ),
      );
      if (!page.ok) throw this.#unavailable(prefix, page.error);
      for (const { Key, Size, LastModified } of page.value.Contents ?? []) {
        const key = Key?.slice(this.#prefix.length) ?? '';
        if (isKey(key)) yield { key, size: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 };
      }
      token = page.value.IsTruncated === true ? page.value.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const removed = await this.#retried(key, () => this.#client.send(new DeleteObjectCommand(this.#at(key))));
    if (!removed.ok && removed.failure !== 'absent') throw this.#unavailable(key, removed.error);
  }

  /** Closes idle connections. */
  close(): void {
    this.#client.destroy();
  }

  async #conditionalPut(
    key: string,
    bytes: Uint8Array,
    condition: { IfNoneMatch: string } | { IfMatch: string },
  ): Promise<{ done: true; etag: string } | { done: false; present: MarkedHead | undefined; uncertain: boolean }> {
    const writer = randomBytes(12).toString('hex');
    let uncertain = false;
    for (let attempt = 1; attempt <= this.#attempts; attempt += 1) {
      if (attempt > 1) await this.#pause(attempt);
      try {
        const command = new PutObjectCommand({
          ...this.#at(key),
          ...condition,
          Body: bytes,
          ContentLength: bytes.byteLength,
          Metadata: { [writerKey]: writer },
        });
        return { done: true, etag: (await this.#client.send(command)).ETag ?? '' };
      } catch (error) {
        const failure = classify(error);
        if (failure === 'transient') uncertain = true;
        if (failure === 'transient' || failure === 'conflict') continue;
        if (failure !== 'precondition' && failure !== 'absent') throw this.#unavailable(key, error);
        const present = await this.#markedHead(key);
        if (present?.writer === writer) return { done: true, etag: present.etag };
        // Refused for what was there, but the condition holds now: try again.
        const holds = 'IfMatch' in condition ? present?.etag === condition.IfMatch : present === undefined;
        if (!holds) return { done: false, present, uncertain };
      }
    }
    if (!uncertain) throw this.#unavailable(key, new Error('the store reports conflicts without end'));
    const present = await this.#markedHead(key).catch(() => undefined);
    if (present?.writer === writer) return { done: true, etag: present.etag };
    throw inDoubt(key);
  }

  async #markedHead(key: string): Promise<MarkedHead | undefined> {
    const found = await this.#retried(key, () => this.#client.send(new HeadObjectCommand(this.#at(key))));
    if (!found.ok) {
      if (found.failure === 'absent') return undefined;
      throw this.#unavailable(key, found.error);
    }
    const { ContentLength, ETag, LastModified, Metadata } = found.value;
    return {
      size: ContentLength ?? 0,
      etag: ETag ?? '',
      modifiedMs: LastModified?.getTime() ?? 0,
      writer: Metadata?.[writerKey],
    };
  }

  async #nothingOf(key: string): Promise<StoredObject | undefined> {
    const found = await this.head(key);
    return found && { bytes: new Uint8Array(), etag: found.etag };
  }

  /** Repeats an operation that may be repeated while it fails for reasons that pass. */
  async #retried<T>(
    key: string,
    operation: () => Promise<T>,
  ): Promise<{ ok: true; value: T } | { ok: false; failure: S3Failure; error: unknown }> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return { ok: true, value: await operation() };
      } catch (error) {
        const failure = classify(error);
        if (failure !== 'transient' && failure !== 'conflict') return { ok: false, failure, error };
        if (attempt >= this.#attempts) throw this.#unavailable(key, error);
        await this.#pause(attempt + 1);
      }
    }
  }

  async #pause(attempt: number): Promise<void> {
    const delayMs = this.#retryDelayMs * 2 ** (attempt - 2) * (0.5 + Math.random());
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #unavailable(key: string, cause: unknown): ThawError {
    const problem = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    return new ThawError('THAW_STORE_UNAVAILABLE', `The bucket ${this.#bucket} failed at ${key}: ${problem}.`, {
      cause,
    });
  }
}

function inDoubt(key: string): ThawError {
  return new ThawError(
    'THAW_STORE_AMBIGUOUS',
    `The answer to a conditional write of ${key} was lost, and what is there now does not tell.`,
  );
}

function isKey(text: string): boolean {
  try {
    checkKey(text);
    return true;
  } catch {
    return false;
  }
}
