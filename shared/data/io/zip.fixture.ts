/** Zips for tests, byte by byte: whole ones, and such as no tool writes. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** 0 stored, 8 deflated; others are written as they are and only called that. Default 8. */
  readonly method?: number;
  readonly encrypted?: boolean;
  /** What the directory says, where that is not the truth. */
  readonly saysBytes?: number;
  readonly saysCrc?: number;
}

/** PKWARE's APPNOTE: local header and data of each entry, the central directory, its end. */
export function makeZip(entries: readonly ZipEntry[]): Uint8Array {
  const local: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes, method = 8, encrypted = false, saysBytes = bytes.length, saysCrc } of entries) {
    const packed = method === 8 ? deflateRawSync(bytes) : Buffer.from(bytes);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version needed
    common.writeUInt16LE((encrypted ? 1 : 0) | 0x800, 2); // flags: encrypted, UTF-8
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(saysCrc ?? crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(saysBytes, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const header = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name)]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), common, rest, Buffer.from(name));
    local.push(header, packed);
    offset += header.length + packed.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return new Uint8Array(Buffer.concat([...local, central, Buffer.from('PK\x05\x06'), end]));
}
