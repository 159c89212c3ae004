/**
 * A small S3 server in this process: PUT with If-None-Match and If-Match, GET with ranges, HEAD, DELETE, ListObjectsV2 in
 * pages. It can be told to lose answers, fail, or ignore conditions, which real servers do at the worst moment only.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface StoredEntry {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modified: Date;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What happens to one request instead of the ordinary. */
export type S3Fault =
  /** Carried out, but the connection breaks before the answer. */
  | 'lose-answer'
  /** Not carried out, and the connection breaks. */
  | 'lose-request'
  /** Not carried out: 503 SlowDown. */
  | 'slow-down'
  /** Not carried out: 409 ConditionalRequestConflict, as S3 answers while another conditional write is under way. */
  | 'conflict';

export interface S3DoubleOptions {
  /** Objects per page of a listing. */
  readonly pageSize?: number;
  /** Accepts conditions and ignores them, as some servers do. */
  readonly ignoreConditions?: boolean;
  /** Whether a request is answered; others get 403 AccessDenied. `accessKey` is the requester's, '' when it has none. */
  readonly allows?: (request: { readonly method: string; readonly key: string; readonly accessKey: string }) => boolean;
}

export class S3Double {
  readonly bucket = 'thaw-test';
  readonly objects = new Map<string, StoredEntry>();
  /** `METHOD key` of all requests. */
  readonly requests: string[] = [];
  readonly #faults: { method: string; fault: S3Fault; then?: () => void }[] = [];
  readonly #options: S3DoubleOptions;
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
  });

  constructor(options: S3DoubleOptions = {}) {
    this.#options = options;
  }

  /** Starts on a free port of the loopback interface. Returns the endpoint's URL. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The next request of `method` meets this fault; `then` runs right after, before any other request is served. */
  failNext(method: string, fault: S3Fault, then?: () => void): void {
    this.#faults.push({ method, fault, ...(then === undefined ? {} : { then }) });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://double');
    const [, bucket, ...rest] = url.pathname.split('/');
    const key = decodeURIComponent(rest.join('/'));
    const body = await readBody(request);
    const method = request.method ?? '';
    this.requests.push(`${method} ${key}`);
    if (bucket !== this.bucket) return fail(response, 404, 'NoSuchBucket');
    const accessKey = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if (this.#options.allows?.({ method, key, accessKey }) === false) return fail(response, 403, 'AccessDenied');
    const position = this.#faults.findIndex((fault) => fault.method === method);
    const planned = position < 0 ? undefined : this.#faults.splice(position, 1)[0];
    if (planned?.fault === 'slow-down') return fail(response, 503, 'SlowDown');
    if (planned?.fault === 'conflict') return fail(response, 409, 'ConditionalRequestConflict');
    if (planned?.fault === 'lose-request') {
      planned.then?.();
      return void response.destroy();
    }
    if (planned?.fault === 'lose-answer') {
      // Carried out, with an answer that goes nowhere.
      if (method === 'PUT') this.#put(request, key, body);
      if (method === 'DELETE') this.objects.delete(key);
      planned.then?.();
      return void response.destroy();
    }
    if (method === 'PUT') return this.#answerPut(request, response, key, body);
    if (method === 'DELETE') {
      this.objects.delete(key);
      response.writeHead(204).end();
      return;
    }
    if (key === '') return this.#list(url, response);
    return this.#read(request, response, key);
  }

  #put(request: IncomingMessage, key: string, body: Buffer): { status: number; code: string; etag?: string } {
    const present = this.objects.get(key);
    const { 'if-none-match': ifNoneMatch, 'if-match': ifMatch } = request.headers;
    if (this.#options.ignoreConditions !== true) {
      if (ifNoneMatch === '*' && present !== undefined) return { status: 412, code: 'PreconditionFailed' };
      if (ifMatch !== undefined && present === undefined) return { status: 404, code: 'NoSuchKey' };
      if (ifMatch !== undefined && present?.etag !== ifMatch) return { status: 412, code: 'PreconditionFailed' };
    }
    const etag = `"${createHash('md5').update(body).digest('hex')}"`;
    const metadata = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => name.startsWith('x-amz-meta-')) as [string, string][],
    );
    this.objects.set(key, { bytes: body, etag, modified: new Date(), metadata });
    return { status: 200, code: '', etag };
  }

  #answerPut(request: IncomingMessage, response: ServerResponse, key: string, body: Buffer): void {
    const { status, code, etag } = this.#put(request, key, body);
    if (etag === undefined) return fail(response, status, code);
    response.writeHead(200, { ETag: etag }).end();
  }

  #read(request: IncomingMessage, response: ServerResponse, key: string): void {
    const entry = this.objects.get(key);
    if (entry === undefined) return fail(response, 404, 'NoSuchKey', request.method === 'HEAD');
    const headers = { ETag: entry.etag, 'Last-Modified': entry.modified.toUTCString(), ...entry.metadata };
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (range === null) {
      response.writeHead(200, { ...headers, 'Content-Length': entry.bytes.byteLength });
      response.end(request.method === 'HEAD' ? undefined : entry.bytes);
      return;
    }
    const begin = Number(range[1]);
    if (begin >= entry.bytes.byteLength) return fail(response, 416, 'InvalidRange');
    const part = entry.bytes.subarray(begin, Number(range[2]) + 1);
    const contentRange = `bytes ${begin}-${begin + part.byteLength - 1}/${entry.bytes.byteLength}`;
    response.writeHead(206, { ...headers, 'Content-Length': part.byteLength, 'Content-Range': contentRange });
    response.end(part);
  }

  #list(url: URL, response: ServerResponse): void {
    const prefix = url.searchParams.get('prefix') ?? '';
    const after = url.searchParams.get('continuation-token') ?? '';
    const pageSize = this.#options.pageSize ?? 1000;
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, pageSize);
    const contents = page.map((key) => {
      const { bytes, etag, modified } = this.objects.get(key)!;
      return `<Contents><Key>${key}</Key><Size>${bytes.byteLength}</Size><ETag>${etag.replaceAll('"', '&quot;')}</ETag><LastModified>${modified.toISOString()}</LastModified></Contents>`;
    });
    const more = keys.length > page.length;
    const token = more ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    xml(
      response,
      200,
      `<ListBucketResult><IsTruncated>${more}</IsTruncated>${token}${contents.join('')}</ListBucketResult>`,
    );
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function fail(response: ServerResponse, status: number, code: string, withoutBody = false): void {
  if (withoutBody) response.writeHead(status).end();
  else xml(response, status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}

function xml(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, { 'Content-Type': 'application/xml' })
    .end(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
}
