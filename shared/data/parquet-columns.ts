/** Which columns of a parquet file hold the images and their labels. Pure. */
import { ThawError } from '@thaw/shared/protocol';
import type { SchemaTree } from 'hyparquet/src/types.js';

export interface ParquetColumns {
  readonly image: string;
  /** Column of whole numbers. */
  readonly label?: string;
}

/** A column of bytes, or of a struct with a field `bytes` (as the Hugging Face libraries write images). */
const holdsBytes = ({ element, children }: SchemaTree): boolean =>
  element.repetition_type !== 'REPEATED' &&
  (children.length === 0
    ? element.type === 'BYTE_ARRAY' && element.logical_type === undefined && element.converted_type === undefined
    : children.some((child) => child.element.name === 'bytes' && holdsBytes(child)));
const holdsWholeNumbers = ({ element, children }: SchemaTree): boolean =>
  children.length === 0 &&
  element.repetition_type !== 'REPEATED' &&
  (element.type === 'INT32' || element.type === 'INT64') &&
  ((element.logical_type?.type ?? 'INTEGER') === 'INTEGER' || element.converted_type?.includes('INT') === true);

const kindOf = ({ element, children }: SchemaTree): string =>
  children.length > 0
    ? `struct of ${children.map((child) => child.element.name).join(', ')}`
    : (element.logical_type?.type ?? element.converted_type ?? element.type ?? 'unknown');

/**
 * The columns asked for; else the only one that can hold images, or of several the one called `image` or `img`, and a column of whole
 * numbers called `label`, if there is one.
 * @throws ThawError THAW_DATA_INVALID, with all columns named, when that does not say which.
 */
export function chooseColumns(schema: SchemaTree, asked: Partial<ParquetColumns>, file: string): ParquetColumns {
  const there = `Its columns: ${schema.children.map((child) => `${child.element.name} (${kindOf(child)})`).join(', ')}.`;
  const invalid = (what: string, cure: string): ThawError =>
    new ThawError('THAW_DATA_INVALID', `${file} ${what} ${there}`, { cure });
  const named = (name: string): SchemaTree | undefined => schema.children.find((child) => child.element.name === name);
  const label = (): Partial<ParquetColumns> => {
    const column = named(asked.label ?? 'label');
    if (column !== undefined && holdsWholeNumbers(column)) return { label: column.element.name };
    if (asked.label === undefined) return {};
    throw invalid(
      column === undefined ? `has no column "${asked.label}".` : `has no whole numbers in the column "${asked.label}".`,
      'Name a column of whole numbers with --label-column.',
    );
  };
  if (asked.image !== undefined) {
    const column = named(asked.image);
    if (column !== undefined && holdsBytes(column)) return { image: asked.image, ...label() };
    throw invalid(
      column === undefined ? `has no column "${asked.image}".` : `has no images in the column "${asked.image}".`,
      'Name a column of bytes, or of a struct with a field "bytes", with --image-column.',
    );
  }
  const candidates = schema.children.filter(holdsBytes).map((child) => child.element.name);
  const image = candidates.length === 1 ? candidates[0] : ['image', 'img'].find((name) => candidates.includes(name));
  if (image !== undefined) return { image, ...label() };
  throw candidates.length === 0
    ? invalid(
        'has no column of images.',
        'Images are read from a column of bytes, or of a struct with a field "bytes".',
      )
    : invalid('has several columns that may be images.', 'Name one of them with --image-column.');
}
