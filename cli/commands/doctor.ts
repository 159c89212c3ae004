/** `thaw doctor`: what this machine has, what is missing, and why. */
import { spawnSync } from 'node:child_process';
import { autoKinds, doctor as engines, type EngineAvailability } from '@thaw/shared/engine';
import { readClusterFile } from '../cluster/cluster-file.js';
import { callJson } from '../cluster/api.js';
import { table } from '../terminal/output.js';

export interface Diagnosis {
  readonly node: { readonly version: string; readonly ok: boolean };
  readonly platform: string;
  readonly natsServer: string | null;
  readonly engines: EngineAvailability[];
  /** The engine that `--engine auto` takes here; null where none can be used. */
  readonly auto: string | null;
  readonly cluster: { readonly url: string; readonly state: string } | null;
}

export async function diagnose(dir: string): Promise<Diagnosis> {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const nats = spawnSync('nats-server', ['--version'], { encoding: 'utf8' });
  const cluster = readClusterFile(dir);
  const state =
    cluster === undefined
      ? null
      : await callJson<{ state: string }>({ url: cluster.coordinator.url, token: cluster.token }, '/v1/status').then(
          (status) => status.state,
          (error: Error) => error.message,
        );
  const availabilities = await engines();
  return {
    node: { version: process.versions.node, ok: major > 20 || (major === 20 && minor >= 19) },
    platform: `${process.platform}-${process.arch}`,
    natsServer: nats.status === 0 ? nats.stdout.trim() : null,
    engines: availabilities,
    auto: autoKinds.find((kind) => availabilities.some((one) => one.kind === kind && one.available)) ?? null,
    cluster: cluster === undefined ? null : { url: cluster.coordinator.url, state: state ?? '' },
  };
}

export function diagnosisText(diagnosis: Diagnosis): string {
  const lines = [
    `Node.js      ${diagnosis.node.version} ${diagnosis.node.ok ? '(ok)' : '(too old: 20.19 or newer is needed)'}`,
    `Platform     ${diagnosis.platform}`,
    `NATS server  ${diagnosis.natsServer ?? 'not on PATH: the embedded broker is used'}`,
    `Cluster      ${diagnosis.cluster === null ? 'none is running on this folder' : `${diagnosis.cluster.url} (${diagnosis.cluster.state})`}`,
    '',
    'Engines',
  ];
  const rows = diagnosis.engines.map(({ kind, available, reason }) => [available ? '  yes' : '  no', kind, reason]);
  return `${lines.join('\n')}\n${table(rows)}\n${autoText(diagnosis)}`;
}

function autoText({ auto, engines: answers }: Diagnosis): string {
  if (auto === null) return '--engine auto takes none: no engine that it would take can be used here.';
  const [best] = autoKinds;
  const passedOver = auto === best ? '' : `, not ${best}: ${answers.find(({ kind }) => kind === best)!.reason}`;
  return `--engine auto takes ${auto}${passedOver}`;
}
