/** Files and folders that a command writes: made before the work whose result they are for, refused with a sentence. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';

/** What the system says of a file or folder, as an error of ours; anything else is undefined. */
export function fileError(error: unknown): ThawError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || typeof syscall !== 'string' || typeof path !== 'string') return undefined;
  return new ThawError('THAW_FILE_UNUSABLE', `${path} cannot be used: ${error.message}.`, { cause: error });
}

/**
 * The folder, made if it is absent, one part at a time (a recursive mkdir of Node does not end under /proc).
 * @throws ThawError THAW_FILE_UNUSABLE
 */
export function makeFolder(path: string): string {
  const folder = resolve(path);
  try {
    const missing: string[] = [];
    let at = folder;
    for (; statSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at; at = dirname(at))
      missing.unshift(at);
    if (!statSync(at).isDirectory()) throw new ThawError('THAW_FILE_UNUSABLE', `${at} is a file, not a folder.`);
    for (const part of missing) mkdirSync(part);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw fileError(error) ?? error;
  }
  return folder;
}
