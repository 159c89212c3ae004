import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { EngineDescription } from '../types.js';

/** The parts of a description that every engine of this process shares. */
export function hostDescription(): Pick<EngineDescription, 'platform' | 'nodeVersion' | 'v8Version'> {
  return {
    platform: `${process.platform}-${process.arch}`,
    nodeVersion: process.versions.node,
    v8Version: process.versions.v8,
  };
}

export const cpuModel = (): string => cpus()[0]?.model.trim() ?? 'unknown processor';

/** Model of the first NVIDIA device, as its Linux driver tells it. */
export function nvidiaModel(folder = '/proc/driver/nvidia/gpus'): string | undefined {
  try {
    const [first] = readdirSync(folder).sort();
    if (first === undefined) return undefined;
    return /^Model:\s*(.+)$/m.exec(readFileSync(join(folder, first, 'information'), 'utf8'))?.[1]?.trim();
  } catch {
    return undefined;
  }
}

/** Version of an installed package, or undefined. */
export function packageVersion(name: string): string | undefined {
  try {
    const manifest = createRequire(import.meta.url)(`${name}/package.json`) as { version: string };
    return manifest.version;
  } catch {
    return undefined;
  }
}
