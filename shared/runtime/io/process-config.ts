/** The configuration of a process: the YAML file that THAW_CONFIG names, if it is set, and `THAW_*` variables above it. */
import { readFileSync } from 'node:fs';
import { ThawError } from '@thaw/shared/protocol';
import type { z } from 'zod';
import { loadConfig } from '../config.js';

/** @throws ThawError THAW_CONFIG_INVALID for a file that cannot be read, or naming every problem of file and environment. */
export function loadProcessConfig<S extends z.ZodType>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
): z.output<S> {
  const path = env['THAW_CONFIG'];
  if (path === undefined || path === '') return loadConfig({ schema, env });
  let yamlText: string;
  try {
    yamlText = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `The file ${path}, named by THAW_CONFIG, cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
  return loadConfig({ schema, yamlText, env });
}
