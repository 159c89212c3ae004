/**
 * Binary framing of everything tensor-sized between trainers (PROTOCOL.md section 4). Fixed header, little-endian, then five sections, each
 * starting at a multiple of 4. Only trainers speak it, but the parser trusts nobody: every length is checked against the bytes that are
 * there, every section against what its frame type may carry.
 *
 * ```text
 *  0 u32 magic "THAW"      20 u32 count            40 u8[8]  run hash
 *  4 u8  version           24 u32 loss entries     48 u8[8]  exponents digest
 *  5 u8  type              28 u32 exponents        56 u8[32] history digest
 *  6 u8  kind              32 u32 data bytes       88 u8[32] data digest
 *  7 u8  source length     36 u32 items            120 source, losses (u32 lane, f32 loss)*, items u32*, exponents i8*, data
 *  8 u32 generation
 * 12 u32 step
 * 16 u32 chunk
 * ```
 */
import { ThawError } from './errors.js';
import { TrainerIdSchema } from './identifiers.js';

export const bulkFrameVersion = 1;
/** Larger frames are refused unread. A chunk is at most 1 MiB of sums. */
export const maxFrameBytes = 8 << 20;
const headerBytes = 120;
const magic = 0x57414854;

const typeNames = ['contribution', 'raise', 'total', 'want', 'offer', 'request', 'range'] as const;
const kindNames = ['none', 'sum', 'needs', 'nonfinite', 'skip', 'wantContribution', 'wantTotal', 'wantState'] as const;

/** Who sends what to whom: see PROTOCOL.md. */
export type BulkFrameType = (typeof typeNames)[number];
export type BulkFrameKind = (typeof kindNames)[number];

export interface LaneLoss {
  readonly lane: number;
  /** fp32. */
  readonly loss: number;
}

/** One frame. Fields that a type does not use are zero or empty, see {@link frame}. */
export interface BulkFrame {
  readonly type: BulkFrameType;
  readonly kind: BulkFrameKind;
  /** 16 hex digits, {@link runHash}. */
  readonly run: string;
  /** Sender's generation; 0 without a plan. */
  readonly generation: number;
  readonly step: number;
  /** Chunk, or first range of a request, or index of a range. */
  readonly chunk: number;
  /** Number of ranges asked for. */
  readonly count: number;
  /** Sender. */
  readonly source: string;
  /** 16 hex digits: digest of the exponents that a contribution was quantised with. */
  readonly exponentsDigest: string;
  /** 64 hex digits: h_step. */
  readonly historyDigest: string;
  /** 64 hex digits: SHA-256 of `data` of a range. */
  readonly dataDigest: string;
  /** Chunk 0 only: losses of the lanes summed. */
  readonly losses: readonly LaneLoss[];
  /** Non-finite lanes, or chunks wanted. */
  readonly items: readonly number[];
  /** One per block of the chunk. */
  readonly exponents: Int8Array;
  /** int32 sums, or bytes of a range. Starts at a multiple of 4 of its buffer. */
  readonly data: Uint8Array;
}

const noExponents = new Int8Array(0);
const noData = new Uint8Array(0);
const zero16 = '0'.repeat(16);
const zero64 = '0'.repeat(64);

/** A frame with every unused field empty. */
export function frame(
  fields: Pick<BulkFrame, 'type' | 'kind' | 'run' | 'source' | 'step'> & Partial<BulkFrame>,
): BulkFrame {
  return {
    generation: 0,
    chunk: 0,
    count: 0,
    exponentsDigest: zero16,
    historyDigest: zero64,
    dataDigest: zero64,
    losses: [],
    items: [],
    exponents: noExponents,
    data: noData,
    ...fields,
  };
}

/** What a section of a (type, kind) may be: absent, present, or optional. */
type Presence = 'no' | 'yes' | 'may';
interface Shape {
  readonly losses: Presence;
  readonly items: Presence;
  readonly exponents: Presence;
  readonly data: Presence;
}
const shape = (losses: Presence, items: Presence, exponents: Presence, data: Presence): Shape => ({
  losses,
  items,
  exponents,
  data,
});
const shapes: Readonly<Record<string, Shape>> = {
  'contribution/sum': shape('may', 'no', 'no', 'yes'),
  'contribution/needs': shape('may', 'no', 'yes', 'no'),
  'contribution/nonfinite': shape('may', 'yes', 'no', 'no'),
  'raise/none': shape('no', 'no', 'yes', 'no'),
  'total/sum': shape('may', 'no', 'yes', 'yes'),
  'total/skip': shape('may', 'yes', 'no', 'no'),
  'want/wantContribution': shape('no', 'yes', 'no', 'no'),
  'want/wantTotal': shape('no', 'yes', 'no', 'no'),
  'want/wantState': shape('no', 'no', 'no', 'no'),
  'offer/none': shape('no', 'no', 'no', 'no'),
  'request/none': shape('no', 'no', 'no', 'no'),
  'range/none': shape('no', 'no', 'no', 'yes'),
};

const pad4 = (n: number): number => (n + 3) & ~3;

/**
 * Encodes a frame as two parts, so that `data` is not copied: header with small sections, then `data` itself (a view).
 * @throws ThawError THAW_INTERNAL when the frame does not have the sections its type asks for.
 */
export function encodeFrame(f: BulkFrame): Uint8Array[] {
  const wrong = shapeProblem(
    f.type,
    f.kind,
    f.chunk,
    f.losses.length,
    f.items.length,
    f.exponents.length,
    f.data.byteLength,
  );
  if (wrong !== undefined) throw new ThawError('THAW_INTERNAL', `A bulk frame cannot be sent: ${wrong}.`);
  const sourceBytes = f.source.length;
  const size = headerBytes + pad4(sourceBytes) + 8 * f.losses.length + 4 * f.items.length + pad4(f.exponents.length);
  const head = new Uint8Array(size);
  const view = new DataView(head.buffer);
  view.setUint32(0, magic, true);
  head[4] = bulkFrameVersion;
  head[5] = typeNames.indexOf(f.type);
  head[6] = kindNames.indexOf(f.kind);
  head[7] = sourceBytes;
  view.setUint32(8, f.generation, true);
  view.setUint32(12, f.step, true);
  view.setUint32(16, f.chunk, true);
  view.setUint32(20, f.count, true);
  view.setUint32(24, f.losses.length, true);
  view.setUint32(28, f.exponents.length, true);
  view.setUint32(32, f.data.byteLength, true);
  view.setUint32(36, f.items.length, true);
  writeHex(f.run, head, 40, 8);
  writeHex(f.exponentsDigest, head, 48, 8);
  writeHex(f.historyDigest, head, 56, 32);
  writeHex(f.dataDigest, head, 88, 32);
  let at = headerBytes;
  for (let i = 0; i < sourceBytes; i++) head[at + i] = f.source.charCodeAt(i);
  at += pad4(sourceBytes);
  for (const { lane, loss } of f.losses) {
    view.setUint32(at, lane, true);
    view.setFloat32(at + 4, loss, true);
    at += 8;
  }
  for (const item of f.items) {
    view.setUint32(at, item, true);
    at += 4;
  }
  head.set(new Uint8Array(f.exponents.buffer, f.exponents.byteOffset, f.exponents.length), at);
  return f.data.byteLength === 0 ? [head] : [head, f.data];
}

/**
 * Parses and checks one frame. `exponents` and `data` are views of `bytes` where its alignment allows, copies otherwise.
 * @throws ThawError THAW_PROTOCOL_INVALID for anything that {@link encodeFrame} cannot have written.
 */
export function decodeFrame(bytes: Uint8Array): BulkFrame {
  const refuse = (why: string): never => {
    throw new ThawError('THAW_PROTOCOL_INVALID', `A bulk frame is refused: ${why}.`);
  };
  const length = bytes.byteLength;
  if (length > maxFrameBytes) refuse(`it has ${length} bytes, at most ${maxFrameBytes} are accepted`);
  if (length < headerBytes) refuse(`it has ${length} bytes, the header alone has ${headerBytes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  if (view.getUint32(0, true) !== magic) refuse('it does not begin with THAW');
  if (bytes[4] !== bulkFrameVersion) refuse(`its version is ${bytes[4]}, this process speaks ${bulkFrameVersion}`);
  const type = typeNames[bytes[5]!] ?? refuse(`its type is ${bytes[5]}`);
  const kind = kindNames[bytes[6]!] ?? refuse(`its kind is ${bytes[6]}`);
  const sourceBytes = bytes[7]!;
  const chunk = view.getUint32(16, true);
  const lossCount = view.getUint32(24, true);
  const exponentCount = view.getUint32(28, true);
  const dataBytes = view.getUint32(32, true);
  const itemCount = view.getUint32(36, true);
  const wrong = shapeProblem(type, kind, chunk, lossCount, itemCount, exponentCount, dataBytes);
  if (wrong !== undefined) refuse(wrong);
  const lossesAt = headerBytes + pad4(sourceBytes);
  const itemsAt = lossesAt + 8 * lossCount;
  const exponentsAt = itemsAt + 4 * itemCount;
  const dataAt = exponentsAt + 4 * Math.ceil(exponentCount / 4);
  // Sums of at most 2^32 * 8 each: exact in a double, so no wrap-around can pass this.
  if (dataAt + dataBytes !== length) refuse(`its sections end at ${dataAt + dataBytes}, it has ${length} bytes`);
  let source = '';
  for (let i = 0; i < sourceBytes; i++) source += String.fromCharCode(bytes[headerBytes + i]!);
  if (!TrainerIdSchema.safeParse(source).success) refuse('its source is not a trainer id');
  for (let i = headerBytes + sourceBytes; i < lossesAt; i++) if (bytes[i] !== 0) refuse('its padding is not zero');
  for (let i = exponentsAt + exponentCount; i < dataAt; i++) if (bytes[i] !== 0) refuse('its padding is not zero');
  const losses: LaneLoss[] = [];
  for (let i = 0; i < lossCount; i++)
    losses.push({ lane: view.getUint32(lossesAt + 8 * i, true), loss: view.getFloat32(lossesAt + 8 * i + 4, true) });
  const items: number[] = [];
  for (let i = 0; i < itemCount; i++) items.push(view.getUint32(itemsAt + 4 * i, true));
  const start = bytes.byteOffset + dataAt;
  return {
    type,
    kind,
    chunk,
    source,
    losses,
    items,
    run: readHex(bytes, 40, 8),
    generation: view.getUint32(8, true),
    step: view.getUint32(12, true),
    count: view.getUint32(20, true),
    exponentsDigest: readHex(bytes, 48, 8),
    historyDigest: readHex(bytes, 56, 32),
    dataDigest: readHex(bytes, 88, 32),
    exponents:
      exponentCount === 0 ? noExponents : new Int8Array(bytes.buffer, bytes.byteOffset + exponentsAt, exponentCount),
    data:
      dataBytes === 0
        ? noData
        : start % 4 === 0
          ? new Uint8Array(bytes.buffer, start, dataBytes)
          : bytes.slice(dataAt, dataAt + dataBytes),
  };
}

/** The sums of a contribution or total. */
export const sumsOf = (f: BulkFrame): Int32Array =>
  new Int32Array(f.data.buffer, f.data.byteOffset, f.data.byteLength >> 2);

function shapeProblem(
  type: BulkFrameType,
  kind: BulkFrameKind,
  chunk: number,
  losses: number,
  items: number,
  exponents: number,
  data: number,
): string | undefined {
  const allowed = shapes[`${type}/${kind}`];
  if (allowed === undefined) return `a ${type} of kind ${kind} does not exist`;
  const lengths = { losses, items, exponents, data };
  for (const section of ['losses', 'items', 'exponents', 'data'] as const) {
    if (allowed[section] === 'no' && lengths[section] !== 0) return `a ${type} of kind ${kind} carries no ${section}`;
    if (allowed[section] === 'yes' && lengths[section] === 0) return `a ${type} of kind ${kind} carries ${section}`;
  }
  if (losses !== 0 && chunk !== 0) return 'losses travel with chunk 0 only';
  if (losses > 65_536 || items > 65_536) return 'it lists too many lanes or chunks';
  if (type !== 'range' && data % 4 !== 0) return 'its sums are not whole int32 values';
  return undefined;
}

const hexDigits = '0123456789abcdef';
function writeHex(hex: string, into: Uint8Array, at: number, bytes: number): void {
  if (hex.length !== 2 * bytes)
    throw new ThawError('THAW_INTERNAL', `A digest of ${hex.length} digits where ${2 * bytes} belong.`);
  for (let i = 0; i < bytes; i++) into[at + i] = (digit(hex.charCodeAt(2 * i)) << 4) | digit(hex.charCodeAt(2 * i + 1));
}
/** Value of a lower-case hexadecimal digit. */
const digit = (code: number): number => (code < 58 ? code - 48 : code - 87);
function readHex(from: Uint8Array, at: number, bytes: number): string {
  let hex = '';
  for (let i = at; i < at + bytes; i++) hex += hexDigits[from[i]! >> 4]! + hexDigits[from[i]! & 15]!;
  return hex;
}
