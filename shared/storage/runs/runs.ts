/**
 * `runs/<run>/run.json` is written once and never changed; `runs/<run>/target.json` says after how many steps the run is
 * complete, and may be raised, since a run that goes on longer has the same weights at every earlier step.
 */
import { createHash } from 'node:crypto';
import { NameSchema, RunConfigSchema, ThawError, type RunConfig } from '../../protocol/index.js';
import { z } from 'zod';
import type { ObjectStore } from '../store/index.js';

export const runKey = (run: string): string => `runs/${NameSchema.parse(run)}/run.json`;
export const targetKey = (run: string): string => `runs/${NameSchema.parse(run)}/target.json`;

const TargetSchema = z.strictObject({ steps: z.int().min(1) });

export interface StoredRun {
  readonly config: RunConfig;
  /** Of the stored bytes; named by every checkpoint of the run. */
  readonly configSha256: string;
  /** Steps after which the run is complete at present. */
  readonly targetSteps: number;
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, undefined, 1)}\n`);
const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields that differ, with both values, "there" being the first. A field that is left out is undefined, whatever it means. */
export function differences(stored: unknown, given: unknown, path = ''): string[] {
  if (isRecord(stored) && isRecord(given))
    return [...new Set([...Object.keys(stored), ...Object.keys(given)])].flatMap((name) =>
      differences(stored[name], given[name], path === '' ? name : `${path}.${name}`),
    );
  if (JSON.stringify(stored) === JSON.stringify(given)) return [];
  const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
  return [`${path} is ${shown(stored)} there and ${shown(given)} here`];
}

/**
 * Stores a run's configuration, or finds that the stored one is the same run; then sets the target to `config.steps`.
 * @throws ThawError THAW_RUN_CONFLICT when the name is taken by another configuration
 */
export async function createRun(store: ObjectStore, config: RunConfig): Promise<StoredRun> {
  const { created } = await store.putIfAbsent(runKey(config.name), encode(config));
  if (!created) {
    const stored = await loadRun(store, config.name);
    const differing = differences({ ...stored.config, steps: 0 }, { ...config, steps: 0 });
    if (differing.length > 0)
      throw new ThawError(
        'THAW_RUN_CONFLICT',
        `The run "${config.name}" is in the store already, with another configuration: ${differing.slice(0, 8).join('; ')}.`,
      );
  }
  await setTargetSteps(store, config.name, config.steps);
  return loadRun(store, config.name);
}

/** @throws ThawError THAW_RUN_NOT_FOUND, THAW_CONFIG_INVALID */
export async function loadRun(store: ObjectStore, run: string): Promise<StoredRun> {
  const found = await store.get(runKey(run));
  if (found === undefined) throw new ThawError('THAW_RUN_NOT_FOUND', `The object store has no run "${run}".`);
  const config = RunConfigSchema.safeParse(parse(found.bytes));
  if (!config.success)
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `The stored configuration of run "${run}" is not valid: ${z.prettifyError(config.error)}`,
    );
  const target = await store.get(targetKey(run));
  return {
    config: config.data,
    configSha256: createHash('sha256').update(found.bytes).digest('hex'),
    targetSteps: target === undefined ? config.data.steps : TargetSchema.parse(parse(target.bytes)).steps,
  };
}

export async function setTargetSteps(store: ObjectStore, run: string, steps: number): Promise<void> {
  await store.put(targetKey(run), encode({ steps }));
}
