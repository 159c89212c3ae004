/** Lines a client receives. */
import { WireError } from './frame-reader.js';

/** What a broker says about itself; fields we do not use are left out. */
export interface ServerInfo {
  readonly server_name?: string;
  readonly version?: string;
  readonly max_payload?: number;
  readonly headers?: boolean;
  readonly auth_required?: boolean;
  readonly tls_required?: boolean;
}

export type ClientLine =
  | {
      readonly kind: 'message';
      readonly subject: string;
      readonly sid: number;
      readonly replyTo?: string;
      readonly headerBytes: number;
      readonly payloadBytes: number;
    }
  | { readonly kind: 'info'; readonly info: ServerInfo }
  | { readonly kind: 'ping' | 'pong' | 'ok' }
  | { readonly kind: 'error'; readonly text: string };

/** Larger messages are not believed: nats-server never accepts payloads beyond 64 MiB. */
const maxMessageBytes = 64 << 20;

/** @throws WireError */
export function parseClientLine(line: string): ClientLine {
  const space = line.search(/[ \t]/);
  const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase();
  switch (verb) {
    case 'MSG':
    case 'HMSG':
      return parseMessage(line, verb === 'HMSG');
    case 'PING':
      return { kind: 'ping' };
    case 'PONG':
      return { kind: 'pong' };
    case '+OK':
      return { kind: 'ok' };
    case '-ERR':
      return {
        kind: 'error',
        text: line
          .slice(space < 0 ? line.length : space + 1)
          .trim()
          .replace(/^'|'$/g, ''),
      };
    case 'INFO':
      return { kind: 'info', info: parseInfo(line.slice(5)) };
    default:
      throw new WireError('Unknown Protocol Operation', line.slice(0, 60));
  }
}

function parseMessage(line: string, withHeaders: boolean): ClientLine {
  const fields = line.split(/[ \t]+/).filter((field) => field !== '');
  const sizes = withHeaders ? 2 : 1;
  if (fields.length !== 3 + sizes && fields.length !== 4 + sizes)
    throw new WireError('Unknown Protocol Operation', line.slice(0, 60));
  const total = parseCount(fields.at(-1)!, maxMessageBytes);
  const headerBytes = withHeaders ? parseCount(fields.at(-2)!, total) : 0;
  const replyTo = fields.length === 4 + sizes ? fields[3] : undefined;
  const message = {
    kind: 'message',
    subject: utf8(fields[1]!),
    sid: parseCount(fields[2]!, Number.MAX_SAFE_INTEGER),
    headerBytes,
    payloadBytes: total - headerBytes,
  } as const;
  return replyTo === undefined ? message : { ...message, replyTo: utf8(replyTo) };
}

function parseInfo(json: string): ServerInfo {
  let info: unknown;
  try {
    info = JSON.parse(utf8(json));
  } catch {
    throw new WireError('Unknown Protocol Operation', 'INFO is not JSON');
  }
  if (typeof info !== 'object' || info === null)
    throw new WireError('Unknown Protocol Operation', 'INFO is not an object');
  return info as ServerInfo;
}

/** Lines are read as latin1, where every byte survives; text that may hold more is decoded here. */
export function utf8(latin1: string): string {
  return /^[\u0000-\u007f]*$/.test(latin1) ? latin1 : Buffer.from(latin1, 'latin1').toString('utf8');
}

/** A non-negative decimal integer of at most `max`. @throws WireError */
export function parseCount(text: string, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max))
    throw new WireError('Unknown Protocol Operation', `"${text.slice(0, 20)}" is not a size of at most ${max}`);
  return value;
}
