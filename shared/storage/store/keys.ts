/** What a key may look like. The rules are the intersection of what folders and S3 servers treat alike. */
import { ThawError } from '../../protocol/index.js';

/** Characters of a whole key. */
export const maxKeyLength = 512;
/** Characters of one part of a key; leaves room for what the folder adapter appends. */
export const maxPartLength = 200;

// A part never begins with a dot (hidden files, '.' and '..'); '~' is kept for the folder adapter's own names.
const partPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const prefixPattern = /^[A-Za-z0-9._/-]*$/;

/**
 * Refuses a text that cannot name an object: empty parts, absolute paths, '.' and '..', other characters than letters,
 * digits, '.', '_' and '-', or too long.
 * @throws ThawError THAW_STORE_KEY_INVALID
 */
export function checkKey(key: string): void {
  if (typeof key !== 'string' || key.length === 0 || key.length > maxKeyLength)
    throw invalid(key, `is not a text of 1 to ${maxKeyLength} characters`);
  for (const part of key.split('/')) {
    if (part.length > maxPartLength) throw invalid(key, `has a part of more than ${maxPartLength} characters`);
    if (!partPattern.test(part)) throw invalid(key, `has the part ${JSON.stringify(part)}, which is not allowed`);
  }
}

/**
 * Refuses a text that cannot be the beginning of a key. '' is the beginning of all.
 * @throws ThawError THAW_STORE_KEY_INVALID
 */
export function checkPrefix(prefix: string): void {
  if (typeof prefix !== 'string' || prefix.length > maxKeyLength || !prefixPattern.test(prefix))
    throw invalid(prefix, 'has characters that no key has, or too many');
  const whole = prefix.split('/').slice(0, -1);
  for (const part of whole)
    if (!partPattern.test(part)) throw invalid(prefix, `has the part ${JSON.stringify(part)}, which is not allowed`);
}

/**
 * Refuses a name (of a run, a channel, a data set) that cannot be one part of a key.
 * @throws ThawError THAW_STORE_KEY_INVALID
 */
export function checkName(kind: string, name: string): void {
  if (typeof name !== 'string' || name.length > 100 || !partPattern.test(name))
    throw new ThawError(
      'THAW_STORE_KEY_INVALID',
      `The ${kind} name ${JSON.stringify(String(name).slice(0, 120))} is not allowed.`,
      { cure: 'Use at most 100 letters, digits, dots, dashes and underscores, not beginning with a dot.' },
    );
}

function invalid(key: unknown, problem: string): ThawError {
  return new ThawError('THAW_STORE_KEY_INVALID', `The key ${JSON.stringify(String(key).slice(0, 200))} ${problem}.`);
}
