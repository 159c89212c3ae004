/** Reads a run file and applies what the command line overrides; every problem is reported at once. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fieldProblems, RunConfigSchema, ThawError, type RunConfig } from '@thaw/shared/protocol';
import { parse } from 'yaml';

export interface RunOverrides {
  readonly seed?: number;
  readonly steps?: number;
  readonly name?: string;
}

/** The demonstration's run file, which ships with Thaw. */
export function demoRunFile(): string {
  // From the source (cli/commands) and from the build (cli/dist/commands) the root is a different number of folders up.
  for (const up of ['../../', '../../../']) {
    const file = fileURLToPath(new URL(`${up}examples/mnist-demo.yaml`, import.meta.url));
    if (existsSync(file)) return file;
  }
  throw new ThawError('THAW_CONFIG_INVALID', 'The file examples/mnist-demo.yaml is missing from this installation.');
}

/** @throws ThawError THAW_CONFIG_INVALID naming the file, and each field with what is wrong with it. */
export function readRunFile(path: string, overrides: RunOverrides = {}): RunConfig {
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `The run file ${path} cannot be read: ${(cause as Error).message.split('\n')[0]}`,
      {
        cure: 'Name a run file in YAML; examples/ has some.',
        cause,
      },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ThawError('THAW_CONFIG_INVALID', `The run file ${path} is not a YAML mapping.`);
  const given = Object.fromEntries(Object.entries(overrides).filter(([, v]) => v !== undefined));
  const parsed = RunConfigSchema.safeParse({ ...value, ...given });
  if (!parsed.success) {
    const problems = fieldProblems(parsed.error, '(file)');
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `The run file ${path} has ${problems.length} problem(s): ${problems.join('; ')}.`,
    );
  }
  return parsed.data;
}
