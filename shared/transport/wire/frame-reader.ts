/**
 * Incremental reader of the NATS wire format, for both ends: control lines, some followed by a payload and CRLF.
 * It owns no socket: `buffer()` says where the next bytes should land, `received()` says how many did. Large payloads
 * land in their final place without a copy; lines and small remainders go through one scratch buffer.
 */
export class WireError extends Error {
  /** The text of the `-ERR` line that tells the peer. */
  readonly reply: string;

  constructor(reply: string, detail?: string) {
    super(detail === undefined ? reply : `${reply}: ${detail}`);
    this.name = 'WireError';
    this.reply = reply;
  }
}

export interface FrameHandler {
  /**
   * A control line, without its line end, as latin1. Returns the buffers that the payload following it must fill, in
   * order (their total length is the payload's), or undefined if no payload follows.
   * @throws WireError when the line is not acceptable
   */
  line(line: string): readonly Uint8Array[] | undefined;
  /** The payload announced by the last line is complete, its closing CRLF seen. */
  payload(): void;
}

export interface FrameReaderOptions {
  /** Longer control lines are an error. */
  readonly maxLineBytes: number;
  /** Size of the scratch buffer. Default 16 KiB. */
  readonly scratchBytes?: number;
  /** Smallest payload remainder that is read straight into its destination. Default 4 KiB. */
  readonly directBytes?: number;
}

const CR = 13;
const LF = 10;
const phase = { line: 0, payload: 1, trailerCr: 2, trailerLf: 3 } as const;
type State = (typeof phase)[keyof typeof phase];

export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #maxLineBytes: number;
  readonly #directBytes: number;
  readonly #scratch: Buffer;
  #state: State = phase.line;
  /** Beginning of a line whose end has not come yet. */
  #partial = '';
  #destinations: readonly Uint8Array[] = [];
  #index = 0;
  #offset = 0;

  constructor(handler: FrameHandler, options: FrameReaderOptions) {
    this.#handler = handler;
    this.#maxLineBytes = options.maxLineBytes;
    this.#directBytes = options.directBytes ?? 4096;
    this.#scratch = Buffer.allocUnsafeSlow(options.scratchBytes ?? 16384);
  }

  /** Where the next bytes should be read into. Valid until the next call of `received` or `push`. */
  buffer(): Uint8Array {
    if (this.#state === phase.payload) {
      const destination = this.#destinations[this.#index]!;
      if (destination.byteLength - this.#offset >= this.#directBytes) return destination.subarray(this.#offset);
    }
    return this.#scratch;
  }

  /** `count` bytes have been read into the buffer that `buffer()` returned. @throws WireError */
  received(count: number, into: Uint8Array): void {
    if (into === this.#scratch) {
      this.push(this.#scratch.subarray(0, count));
      return;
    }
    this.#offset += count;
    this.#advance();
  }

  /** Takes bytes from anywhere; payload bytes are copied. @throws WireError */
  push(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === phase.line) at = this.#takeLine(chunk, at);
      else if (this.#state === phase.payload) at = this.#takePayload(chunk, at);
      else at = this.#takeTrailer(chunk, at);
    }
  }

  #takeLine(chunk: Buffer, at: number): number {
    const end = chunk.indexOf(LF, at);
    const stop = end < 0 ? chunk.length : end;
    if (this.#partial.length + stop - at > this.#maxLineBytes) throw new WireError('Maximum Control Line Exceeded');
    const text = this.#partial + chunk.toString('latin1', at, stop);
    if (end < 0) {
      this.#partial = text;
      return chunk.length;
    }
    this.#partial = '';
    const destinations = this.#handler.line(text.endsWith('\r') ? text.slice(0, -1) : text);
    if (destinations) {
      this.#destinations = destinations;
      this.#index = 0;
      this.#offset = 0;
      this.#state = phase.payload;
      this.#advance();
    }
    return end + 1;
  }

  #takePayload(chunk: Buffer, at: number): number {
    const destination = this.#destinations[this.#index]!;
    const count = Math.min(chunk.length - at, destination.byteLength - this.#offset);
    destination.set(chunk.subarray(at, at + count), this.#offset);
    this.#offset += count;
    this.#advance();
    return at + count;
  }

  /** Steps over filled (and empty) destinations. */
  #advance(): void {
    while (this.#index < this.#destinations.length && this.#offset === this.#destinations[this.#index]!.byteLength) {
      this.#index++;
      this.#offset = 0;
    }
    if (this.#index === this.#destinations.length) this.#state = phase.trailerCr;
  }

  #takeTrailer(chunk: Buffer, at: number): number {
    const expected = this.#state === phase.trailerCr ? CR : LF;
    if (chunk[at] !== expected) throw new WireError('Unknown Protocol Operation', 'a payload is not followed by CRLF');
    if (this.#state === phase.trailerCr) {
      this.#state = phase.trailerLf;
      return at + 1;
    }
    this.#state = phase.line;
    this.#destinations = [];
    this.#handler.payload();
    return at + 1;
  }
}
