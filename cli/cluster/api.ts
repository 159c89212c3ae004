/** Calls to the HTTP doors of a cluster. Coded error bodies become errors again; an unreachable service gets a sentence. */
import { errorRegistry, ThawError, type ErrorCode } from '@thaw/shared/protocol';

export interface ApiTarget {
  readonly url: string;
  readonly token: string;
}
export interface ApiCall {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly json?: unknown;
  readonly body?: Uint8Array;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  /** Breaks the call off. */
  readonly signal?: AbortSignal | undefined;
}

async function send(target: ApiTarget, path: string, call: ApiCall): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${target.token}` };
  if (call.json !== undefined) headers['content-type'] = 'application/json';
  else if (call.contentType !== undefined) headers['content-type'] = call.contentType;
  const body = call.json !== undefined ? JSON.stringify(call.json) : call.body;
  let response: Response;
  try {
    response = await fetch(new URL(path, target.url), {
      method: call.method ?? (body === undefined ? 'GET' : 'POST'),
      headers,
      body: body as RequestInit['body'],
      signal: AbortSignal.any([
        AbortSignal.timeout(call.timeoutMs ?? 30_000),
        ...(call.signal === undefined ? [] : [call.signal]),
      ]),
    });
  } catch (cause) {
    throw new ThawError('THAW_SERVICE_UNREACHABLE', `${target.url} does not answer (${(cause as Error).message}).`, {
      cause,
    });
  }
  if (!response.ok) throw await toError(target, response);
  return response;
}

async function toError(target: ApiTarget, response: Response): Promise<ThawError> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as {
      code?: string;
      message?: string;
      cure?: string;
      details?: Record<string, unknown>;
    };
    if (typeof body.code === 'string' && body.code in errorRegistry)
      return new ThawError(body.code as ErrorCode, body.message ?? text, { cure: body.cure, details: body.details });
  } catch {
    // Not one of our error bodies.
  }
  return new ThawError('THAW_SERVICE_UNREACHABLE', `${target.url} answered ${response.status}: ${text.slice(0, 200)}`);
}

/** The body of an answer; one that breaks off is as good as none. */
async function bodyOf<T>(target: ApiTarget, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new ThawError('THAW_SERVICE_UNREACHABLE', `An answer of ${target.url} broke off.`, { cause });
  }
}

export async function callJson<T>(target: ApiTarget, path: string, call: ApiCall = {}): Promise<T> {
  const response = await send(target, path, call);
  const text = await bodyOf(target, () => response.text());
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new ThawError('THAW_SERVICE_UNREACHABLE', `${target.url} does not answer as a service of Thaw does.`, {
      cause,
    });
  }
}

export async function callBytes(target: ApiTarget, path: string, call: ApiCall = {}): Promise<Uint8Array> {
  const response = await send(target, path, call);
  return new Uint8Array(await bodyOf(target, () => response.arrayBuffer()));
}

/** The first of `targets` for which `attempt` reaches a service; other errors are final. */
export async function anyOf<T>(targets: readonly ApiTarget[], attempt: (target: ApiTarget) => Promise<T>): Promise<T> {
  let last: unknown = new ThawError('THAW_SERVICE_UNREACHABLE', 'The cluster has no such service.');
  for (const target of targets) {
    try {
      return await attempt(target);
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== 'THAW_SERVICE_UNREACHABLE') throw error;
      last = error;
    }
  }
  throw last;
}
