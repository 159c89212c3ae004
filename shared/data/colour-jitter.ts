/**
 * Brightness, contrast, saturation and hue of 8-bit images as torchvision's ColorJitter changes them through Pillow, bit for bit
 * (`ImageEnhance`, `Image.blend` and the HSV conversion compute in float32).
 */
import type { ImagePixels } from './preparation.js';
import { withChannels } from './preparation.js';

const f = Math.fround;

/** Pillow's blend of a plain picture (factor 0) and the image (factor 1); beyond 1 it goes on, cut off at 0 and 255. */
function blend(plain: (i: number) => number, image: ImagePixels, factor: number): ImagePixels {
  const alpha = f(factor);
  const pixels = image.pixels.map((value, i) => {
    const from = plain(i);
    const mixed = f(from + f(alpha * (value - from)));
    return mixed <= 0 ? 0 : mixed >= 255 ? 255 : Math.trunc(mixed);
  });
  return { ...image, pixels };
}

const grey = (image: ImagePixels): Uint8Array => withChannels(image, 1).pixels;

export const adjustBrightness = (image: ImagePixels, factor: number): ImagePixels => blend(() => 0, image, factor);

/** Away from (or towards, below 1) the mean of the image's luma. */
export function adjustContrast(image: ImagePixels, factor: number): ImagePixels {
  const luma = grey(image);
  const mean = Math.trunc(luma.reduce((sum, value) => sum + value, 0) / luma.length + 0.5);
  return blend(() => mean, image, factor);
}

/** Away from (or towards, below 1) the luma of each pixel. */
export function adjustSaturation(image: ImagePixels, factor: number): ImagePixels {
  const luma = grey(image);
  return blend((i) => luma[Math.floor(i / image.channels)]!, image, factor);
}

const toByte = (value: number): number => Math.min(255, Math.max(0, Math.trunc(value)));

function toHsv(r: number, g: number, b: number): [number, number, number] {
  const [most, least] = [Math.max(r, g, b), Math.min(r, g, b)];
  if (most === least) return [0, 0, most];
  const range = most - least;
  const [rc, gc, bc] = [f((most - r) / range), f((most - g) / range), f((most - b) / range)];
  const sixths = r === most ? f(bc - gc) : g === most ? f(2 + rc - bc) : f(4 + gc - rc);
  const hue = f((sixths / 6 + 1) % 1);
  return [toByte(hue * 255), toByte(f(range / most) * 255), most];
}

function toRgb(h: number, s: number, v: number): readonly [number, number, number] {
  if (s === 0) return [v, v, v];
  const turn = (h * 6) / 255;
  const sector = Math.floor(f(turn));
  const part = f(turn - sector);
  const share = f(s / 255);
  const round = (x: number): number => toByte(Math.floor(x + 0.5));
  const p = round(v * (1 - share));
  const q = round(v * (1 - f(share * part)));
  const t = round(v * (1 - share * (1 - part)));
  const sectors = [
    [v, t, p],
    [q, v, p],
    [p, v, t],
    [p, q, v],
    [t, p, v],
    [v, p, q],
  ] as const;
  return sectors[sector % 6]!;
}

/** Turns the hue by `shift` of a full circle, -0.5..0.5. Grey images stay as they are. */
export function adjustHue(image: ImagePixels, shift: number): ImagePixels {
  if (image.channels === 1) return image;
  const turn = Math.trunc(shift * 255);
  const pixels = new Uint8Array(image.pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const [h, s, v] = toHsv(image.pixels[i]!, image.pixels[i + 1]!, image.pixels[i + 2]!);
    pixels.set(toRgb((h + turn) & 255, s, v), i);
  }
  return { ...image, pixels };
}
