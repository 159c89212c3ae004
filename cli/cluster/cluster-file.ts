/** `<dir>/cluster.json`: how the other commands find a running local cluster (mode 0600, it holds the token). */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ThawError } from '@thaw/shared/protocol';
import { z } from 'zod';

const PidSchema = z.int().positive();

export const ClusterFileSchema = z.strictObject({
  format: z.literal('thaw.cluster/1'),
  /** The supervisor (`thaw up`). */
  pid: PidSchema,
  startedMs: z.number(),
  run: z.string(),
  token: z.string().min(16),
  storeUrl: z.string(),
  broker: z.strictObject({ url: z.string(), kind: z.string(), version: z.string() }),
  coordinator: z.strictObject({ url: z.url(), pid: PidSchema }),
  trainers: z.array(z.strictObject({ name: z.string(), pid: PidSchema })),
  samplers: z.array(z.strictObject({ name: z.string(), url: z.url(), pid: PidSchema })),
});
export type ClusterFile = z.infer<typeof ClusterFileSchema>;

export const defaultClusterDir = '.thaw';
/** The object store of a cluster that runs on a folder. */
export const storeUrlOf = (dir: string): string => pathToFileURL(join(resolve(dir), 'store')).href;
const pathOf = (dir: string): string => join(resolve(dir), 'cluster.json');

/** True while a process with this id exists (signal 0 asks without touching it). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Replaces the file as a whole, readable by its owner only. */
export function writeClusterFile(dir: string, cluster: ClusterFile): void {
  mkdirSync(resolve(dir), { recursive: true });
  const temporary = `${pathOf(dir)}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(cluster, null, 2) + '\n', { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, pathOf(dir));
}

export function removeClusterFile(dir: string): void {
  rmSync(pathOf(dir), { force: true });
}

/** The cluster whose supervisor is alive, or undefined. A file left by a killed supervisor counts as absent. */
export function readClusterFile(dir: string): ClusterFile | undefined {
  if (!existsSync(pathOf(dir))) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(pathOf(dir), 'utf8'));
  } catch {
    return undefined;
  }
  const cluster = ClusterFileSchema.safeParse(parsed);
  return cluster.success && isAlive(cluster.data.pid) ? cluster.data : undefined;
}

/** @throws ThawError THAW_CLUSTER_NOT_FOUND when no local cluster runs on this folder. */
export function requireCluster(dir: string): ClusterFile {
  const cluster = readClusterFile(dir);
  if (cluster === undefined)
    throw new ThawError('THAW_CLUSTER_NOT_FOUND', `No local cluster is running on the folder ${resolve(dir)}.`);
  return cluster;
}
