/** Control-message bodies: MessagePack (msgpackr, no extension types) inside an envelope that carries the protocol version. */
import { Packr, Unpackr } from 'msgpackr';
import { z } from 'zod';
import { ThawError } from './errors.js';

/** Raised when a message changes incompatibly; a receiver refuses another major version with a sentence. */
export const protocolVersion = 1;
/** Control messages are small; anything larger is refused before it is parsed. */
export const maxControlBytes = 4 << 20;
const maxDepth = 32;

// One encoder without records or structures: any MessagePack implementation can read the bytes.
const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

const EnvelopeSchema = z.strictObject({ v: z.int(), body: z.unknown() });

/** Encodes `body` after checking it against `schema`: a sender cannot put an invalid message on the wire. */
export function encodeMessage<S extends z.ZodType>(schema: S, body: z.input<S>): Uint8Array {
  return packr.pack({ v: protocolVersion, body: schema.parse(body) });
}

/**
 * Decodes and checks one message.
 * @throws ThawError THAW_PROTOCOL_INVALID for bytes that are too large, malformed, too deep, of another version or off schema.
 */
export function decodeMessage<S extends z.ZodType>(schema: S, bytes: Uint8Array): z.output<S> {
  if (bytes.byteLength > maxControlBytes)
    throw new ThawError(
      'THAW_PROTOCOL_INVALID',
      `A control message has ${bytes.byteLength} bytes; at most ${maxControlBytes} are accepted.`,
    );
  assertPlainMessagePack(bytes);
  let raw: unknown;
  try {
    raw = unpackr.unpack(bytes);
  } catch (cause) {
    throw new ThawError('THAW_PROTOCOL_INVALID', 'A control message is not valid MessagePack.', { cause });
  }
  const envelope = EnvelopeSchema.safeParse(raw);
  if (!envelope.success) throw new ThawError('THAW_PROTOCOL_INVALID', 'A control message has no envelope {v, body}.');
  if (envelope.data.v !== protocolVersion)
    throw new ThawError(
      'THAW_PROTOCOL_INVALID',
      `A control message has protocol version ${envelope.data.v}; this process speaks ${protocolVersion}.`,
    );
  const body = schema.safeParse(envelope.data.body);
  if (!body.success)
    throw new ThawError('THAW_PROTOCOL_INVALID', `A control message is off schema: ${z.prettifyError(body.error)}`);
  return body.data;
}

/**
 * Walks the MessagePack structure without building values: refuses extension types, nesting deeper than {@link maxDepth}
 * and lengths that run past the end, so that the decoder proper never sees hostile input.
 */
function assertPlainMessagePack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refuse = (why: string): never => {
    throw new ThawError('THAW_PROTOCOL_INVALID', `A control message is refused: ${why}.`);
  };
  let at = 0;
  const need = (n: number): void => {
    if (n > bytes.byteLength - at) refuse('it ends early');
  };
  const length = (width: 1 | 2 | 4): number => {
    need(width);
    const n = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at);
    at += width;
    return n;
  };
  const skip = (n: number): void => {
    need(n);
    at += n;
  };
  const items = (count: number, depth: number): void => {
    if (depth >= maxDepth) refuse(`it nests deeper than ${maxDepth}`);
    need(count); // every item takes at least one byte
    for (let i = 0; i < count; i++) value(depth + 1);
  };
  const value = (depth: number): void => {
    need(1);
    const type = view.getUint8(at++);
    if (type <= 0x7f || type >= 0xe0) return; // small integers
    if (type <= 0x8f) return items(2 * (type & 0x0f), depth);
    if (type <= 0x9f) return items(type & 0x0f, depth);
    if (type <= 0xbf) return skip(type & 0x1f);
    switch (type) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
      case 0xd9:
        return skip(length(1));
      case 0xc5:
      case 0xda:
        return skip(length(2));
      case 0xc6:
      case 0xdb:
        return skip(length(4));
      case 0xcc:
      case 0xd0:
        return skip(1);
      case 0xcd:
      case 0xd1:
        return skip(2);
      case 0xca:
      case 0xce:
      case 0xd2:
        return skip(4);
      case 0xcb:
      case 0xcf:
      case 0xd3:
        return skip(8);
      case 0xdc:
        return items(length(2), depth);
      case 0xdd:
        return items(length(4), depth);
      case 0xde:
        return items(2 * length(2), depth);
      case 0xdf:
        return items(2 * length(4), depth);
      default:
        return refuse(`it contains the MessagePack type 0x${type.toString(16)}, which is not used`);
    }
  };
  value(0);
  if (at !== bytes.byteLength) refuse('bytes follow the message');
}
