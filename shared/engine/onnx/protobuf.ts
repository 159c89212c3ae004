/**
 * The part of the protocol-buffers wire format that ONNX needs: varints, 32-bit floats and length-delimited fields.
 * Bytes depend on the calls alone, so equal graphs serialise to equal bytes.
 */
export class ProtobufWriter {
  #parts: Uint8Array[] = [];
  #byteLength = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  #append(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#byteLength += bytes.length;
  }

  /** A varint field. Negative numbers take ten bytes, as the format demands of int64. */
  integer(field: number, value: number): this {
    this.#append(varint(field * 8));
    this.#append(varint(value));
    return this;
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.#append(varint(field * 8 + 5));
    this.#append(bytes);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#append(varint(field * 8 + 2));
    this.#append(varint(value.length));
    this.#append(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  message(field: number, value: ProtobufWriter): this {
    this.#append(varint(field * 8 + 2));
    this.#append(varint(value.#byteLength));
    for (const part of value.#parts) this.#append(part);
    return this;
  }

  finish(): Uint8Array {
    const result = new Uint8Array(this.#byteLength);
    this.finishInto(result, 0);
    return result;
  }

  /** Writes the `byteLength` bytes to `target` from `offset` on. */
  finishInto(target: Uint8Array, offset: number): void {
    for (const part of this.#parts) {
      target.set(part, offset);
      offset += part.length;
    }
  }
}

const encoder = new TextEncoder();
const oneByteVarints = Array.from({ length: 128 }, (_, value) => Uint8Array.of(value));

function varint(value: number): Uint8Array {
  const short = oneByteVarints[value];
  if (short !== undefined) return short;
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 128);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}
