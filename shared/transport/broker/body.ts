/** Payload buffers shared by several writes, and the pool they return to (large ones: their pages stay mapped). */

const smallestPooled = 65536;

export class BodyPool {
  readonly #free = new Map<number, Buffer[]>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = 64 << 20) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that wait to be used again. */
  get pooledBytes(): number {
    return this.#bytes;
  }

  take(length: number): Body {
    const reused = this.#free.get(length)?.pop();
    if (reused) this.#bytes -= length;
    return new Body(reused ?? Buffer.allocUnsafeSlow(length), this);
  }

  giveBack(bytes: Buffer): void {
    const length = bytes.length;
    if (length < smallestPooled || this.#bytes + length > this.#maxBytes) return;
    this.#bytes += length;
    const same = this.#free.get(length);
    if (same) same.push(bytes);
    else this.#free.set(length, [bytes]);
  }
}

/** One message's bytes, referenced by everybody who still writes them. Made with one reference, the maker's. */
export class Body {
  readonly bytes: Buffer;
  readonly #pool: BodyPool | undefined;
  #references = 1;

  constructor(bytes: Buffer, pool?: BodyPool) {
    this.bytes = bytes;
    this.#pool = pool;
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references === 0) this.#pool?.giveBack(this.bytes);
  }
}
