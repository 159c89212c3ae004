/** Lines a broker receives. Subjects stay latin1, byte for byte: a broker compares and repeats them, nothing else. */
import { WireError } from './frame-reader.js';
import { parseCount, utf8 } from './client-lines.js';

/** The part of CONNECT that the broker heeds. */
export interface ConnectFields {
  readonly verbose: boolean;
  readonly pedantic: boolean;
  readonly echo: boolean;
  readonly headers: boolean;
  readonly noResponders: boolean;
  readonly name: string;
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
}

export type ServerLine =
  | { readonly kind: 'connect'; readonly connect: ConnectFields }
  | {
      readonly kind: 'publish';
      readonly subject: string;
      readonly replyTo?: string;
      readonly headerBytes: number;
      readonly totalBytes: number;
      readonly withHeaders: boolean;
    }
  | { readonly kind: 'subscribe'; readonly pattern: string; readonly queue?: string; readonly sid: string }
  | { readonly kind: 'unsubscribe'; readonly sid: string; readonly max?: number }
  | { readonly kind: 'ping' | 'pong' | 'empty' | 'ok' };

const unknown = (line: string): WireError => new WireError('Unknown Protocol Operation', line.slice(0, 60));

/** @throws WireError */
export function parseServerLine(line: string): ServerLine {
  const fields = line.split(/[ \t]+/).filter((field) => field !== '');
  const verb = fields[0]?.toUpperCase();
  switch (verb) {
    case undefined:
      return { kind: 'empty' };
    case 'PUB':
      return parsePublish(line, fields, false);
    case 'HPUB':
      return parsePublish(line, fields, true);
    case 'SUB':
      if (fields.length === 3) return { kind: 'subscribe', pattern: fields[1]!, sid: fields[2]! };
      if (fields.length === 4) return { kind: 'subscribe', pattern: fields[1]!, queue: fields[2]!, sid: fields[3]! };
      throw unknown(line);
    case 'UNSUB':
      if (fields.length === 2) return { kind: 'unsubscribe', sid: fields[1]! };
      if (fields.length === 3)
        return { kind: 'unsubscribe', sid: fields[1]!, max: parseCount(fields[2]!, Number.MAX_SAFE_INTEGER) };
      throw unknown(line);
    case 'PING':
      return { kind: 'ping' };
    case 'PONG':
      return { kind: 'pong' };
    case '+OK':
      return { kind: 'ok' };
    case 'CONNECT':
      return { kind: 'connect', connect: parseConnect(line) };
    default:
      throw unknown(line);
  }
}

function parsePublish(line: string, fields: readonly string[], withHeaders: boolean): ServerLine {
  const sizes = withHeaders ? 2 : 1;
  if (fields.length !== 2 + sizes && fields.length !== 3 + sizes) throw unknown(line);
  const totalBytes = parseCount(fields.at(-1)!, Number.MAX_SAFE_INTEGER);
  const headerBytes = withHeaders ? parseCount(fields.at(-2)!, totalBytes) : 0;
  const publish = { kind: 'publish', subject: fields[1]!, headerBytes, totalBytes, withHeaders } as const;
  return fields.length === 3 + sizes ? { ...publish, replyTo: fields[2]! } : publish;
}

function parseConnect(line: string): ConnectFields {
  let raw: unknown;
  try {
    raw = JSON.parse(utf8(line.trimStart().slice('CONNECT'.length)));
  } catch {
    throw new WireError('Unknown Protocol Operation', 'CONNECT is not JSON');
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    throw new WireError('Unknown Protocol Operation', 'CONNECT is not an object');
  const fields = raw as Record<string, unknown>;
  const flag = (name: string, absent: boolean): boolean => (typeof fields[name] === 'boolean' ? fields[name] : absent);
  const text = (name: string): string | undefined =>
    typeof fields[name] === 'string' ? fields[name].slice(0, 1024) : undefined;
  return {
    verbose: flag('verbose', true),
    pedantic: flag('pedantic', false),
    echo: flag('echo', true),
    headers: flag('headers', false),
    noResponders: flag('no_responders', false),
    name: text('name') ?? '',
    ...(text('auth_token') === undefined ? {} : { token: text('auth_token')! }),
    ...(text('user') === undefined ? {} : { user: text('user')! }),
    ...(text('pass') === undefined ? {} : { pass: text('pass')! }),
  };
}
