/** PNG files (W3C Recommendation, third edition): 8 bits, grey or RGB, no interlace. */
import { crc32, deflateSync } from 'node:zlib';

export interface PngImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** [H, W, C]. */
  readonly bytes: Uint8Array;
}

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const greyType = 0;
const rgbType = 2;

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

export function encodePng({ width, height, channels, bytes }: PngImage): Uint8Array {
  const line = width * channels;
  if (bytes.length !== line * height) throw new RangeError(`${bytes.length} bytes are not ${width} x ${height} pixels`);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8; // bits
  header[9] = channels === 1 ? greyType : rgbType;
  // Every line begins with the number of its filter: 0, none.
  const lines = Buffer.alloc((line + 1) * height);
  for (let y = 0; y < height; y++) lines.set(bytes.subarray(y * line, (y + 1) * line), y * (line + 1) + 1);
  return Buffer.concat([
    Buffer.from(signature),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines, { level: 9 })),
    chunk('IEND', new Uint8Array()),
  ]);
}
