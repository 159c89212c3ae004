/**
 * Bands: tiles that are transformed, multiplied and transformed back together, so that what lies between (2.25 times an image
 * and more) stays in a cache. A band is a number of rows of tiles, counted through all images of the batch.
 */
export interface Band {
  /** First row of tiles. */
  readonly from: number;
  /** One past the last row of tiles. */
  readonly to: number;
}

export interface BandedWork {
  /** Rows of tiles of one image, and images. */
  readonly rowsPerImage: number;
  readonly images: number;
  /** Bytes of a row of tiles in the transformed domain, operands and results. */
  readonly bytesPerRow: number;
  /** Bytes of the transformed filter, which every band reads again. */
  readonly filterBytes: number;
  /** About what a band may take. */
  readonly bandBytes: number;
  /** Bands are whole images: where tiles reach over the border of an image. */
  readonly wholeImages: boolean;
}

/** Bytes of a band unless said otherwise: what one core's share of a level 3 cache holds. */
export const defaultBandBytes = 3.5e6;
/** A larger filter does not stay in a level 2 cache, and costs more to read again than bands save. */
const mostFilterBytes = 1.25e6;

/** Cuts the work into bands of nearly equal size; one, where it is small or the filter large. */
export function bandsOf({
  rowsPerImage,
  images,
  bytesPerRow,
  filterBytes,
  bandBytes,
  wholeImages,
}: BandedWork): Band[] {
  const rows = rowsPerImage * images;
  const unit = wholeImages ? rowsPerImage : 1;
  const units = rows / unit;
  const wanted = filterBytes > mostFilterBytes ? 1 : Math.ceil((bytesPerRow * rows) / bandBytes);
  const count = Math.max(1, Math.min(wanted, units));
  const cut = (i: number): number => Math.floor((i * units) / count) * unit;
  return Array.from({ length: count }, (_, i) => ({ from: cut(i), to: cut(i + 1) }));
}
