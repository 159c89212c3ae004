/** Every variable, port, probe and secret of the manifests exists in the code's schemas, and the reverse. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CoordinatorConfigSchema } from '@thaw/coordinator';
import { engineKinds } from '@thaw/shared/engine';
import { SamplerConfigSchema } from '@thaw/sampler';
import { TrainerConfigSchema } from '@thaw/trainer';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

const base = fileURLToPath(new URL('../../deploy/k8s/base/', import.meta.url));
const docker = fileURLToPath(new URL('../../deploy/docker/', import.meta.url));

interface Container {
  name: string;
  image: string;
  env?: { name: string; value?: string; valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean } } }[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { name: string; containerPort: number }[];
  securityContext?: Record<string, unknown>;
  [probe: string]: unknown;
}
interface Manifest {
  kind: string;
  metadata: { name: string };
  spec?: {
    template?: { spec: { containers: Container[]; automountServiceAccountToken?: boolean; securityContext?: Record<string, unknown> } };
    ports?: { name: string; targetPort: string }[];
    selector?: Record<string, string>;
  };
}

const manifests: Manifest[] = readdirSync(base)
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .flatMap((file) => parseAllDocuments(readFileSync(join(base, file), 'utf8')).map((document) => document.toJS() as Manifest));
const kustomization = parseAllDocuments(readFileSync(join(base, 'kustomization.yaml'), 'utf8'))[0]!.toJS() as {
  namespace: string;
  resources: string[];
  configMapGenerator: { name: string; literals: string[] }[];
};
const shared = kustomization.configMapGenerator.flatMap(({ literals }) => literals.map((literal) => literal.split('=')[0]!));

const services = {
  coordinator: CoordinatorConfigSchema,
  trainer: TrainerConfigSchema,
  sampler: SamplerConfigSchema,
} as const;
const variableOf = (field: string): string => `THAW_${field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
const workload = (name: string): Manifest =>
  manifests.find((manifest) => manifest.metadata.name === name && manifest.spec?.template !== undefined)!;
const containerOf = (name: string): Container => workload(name).spec!.template!.spec.containers[0]!;

/** Settings that a cluster leaves at their defaults, by service: everything else must be in the manifests. */
const leftAtDefault: Record<keyof typeof services, string[]> = {
  coordinator: ['natsToken', 'name', 'heartbeatMs', 'channel', 'gatedChannel', 'gateMargin', 'evaluationImages', 'keepCheckpoints', 'keepCheckpointEverySteps', 'retentionGraceMs', 'keepJobsMs', 'stragglerFactor', 'stragglerSteps', 'stragglerPolicy', 'rebalanceGain', 'allowedOrigins', 'logLevel'],
  trainer: ['natsToken', 'heartbeatMs', 'cacheBytes', 'recompute', 'logLevel'],
  sampler: [
    ...['natsToken', 'batchSizes', 'maxRows', 'maxQueuedRows', 'detectionMs', 'pollMs', 'keepVersions', 'weights', 'allowedOrigins'],
    ...['maxBodyBytes', 'maxPixels', 'maxWatchers', 'maxWaitMs', 'logLevel'],
  ],
};

test('every file of the base is a resource of the kustomization, and the reverse', () => {
  const files = readdirSync(base).filter((file) => file !== 'kustomization.yaml');
  expect([...kustomization.resources].sort()).toEqual(files.sort());
});

for (const [name, schema] of Object.entries(services) as [keyof typeof services, (typeof services)[keyof typeof services]][]) {
  const fields = Object.keys(schema.shape);
  test(`the variables of the ${name} are settings that it has`, () => {
    const container = containerOf(name);
    const given = [...(container.env ?? []).map((variable) => variable.name), ...shared].filter((variable) => variable.startsWith('THAW_'));
    const known = new Set(fields.map(variableOf));
    expect(given.length).toBeGreaterThan(5);
    expect(given.filter((variable) => !known.has(variable))).toEqual([]);
    expect(new Set(given).size).toBe(given.length);
  });

  test(`every setting of the ${name} is in its manifest or said to stay at its default`, () => {
    const given = new Set([...(containerOf(name).env ?? []).map((variable) => variable.name), ...shared]);
    const missing = fields.filter((field) => !given.has(variableOf(field)) && !leftAtDefault[name].includes(field));
    const tooMuch = leftAtDefault[name].filter((field) => given.has(variableOf(field)) || !fields.includes(field));
    expect({ missing, tooMuch }).toEqual({ missing: [], tooMuch: [] });
  });

  test(`the values of the ${name}'s variables are accepted by its schema`, () => {
    const container = containerOf(name);
    for (const { name: variable, value } of container.env ?? []) {
      const field = fields.find((candidate) => variableOf(candidate) === variable);
      if (field === undefined || value === undefined) continue;
      const shape = schema.shape as unknown as Record<string, { safeParse(value: unknown): { success: boolean } }>;
      const accepted = [value, Number(value), value.split(','), value.split(',').map(Number)].some((candidate) => shape[field]!.safeParse(candidate).success);
      expect(accepted, `${variable}=${value}`).toBe(true);
    }
  });

  test(`the probes and services of the ${name} use ports that it opens, on paths that it serves`, () => {
    const container = containerOf(name);
    const ports = new Map((container.ports ?? []).map((port) => [port.name, port.containerPort]));
    const value = (variable: string): number | undefined => {
      const found = container.env?.find((candidate) => candidate.name === variable)?.value;
      return found === undefined ? undefined : Number(found);
    };
    expect(ports.get('http')).toBe(value('THAW_PORT'));
    expect(ports.get('metrics')).toBe(value('THAW_METRICS_PORT'));
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { httpGet } = container[probe] as { httpGet: { path: string; port: string } };
      expect(ports.has(httpGet.port), probe).toBe(true);
      expect(httpGet.path).toBe(probe === 'readinessProbe' ? '/readyz' : '/healthz');
    }
    const service = manifests.find((manifest) => manifest.kind === 'Service' && manifest.metadata.name === name)!;
    for (const port of service.spec!.ports!) expect(ports.has(port.targetPort)).toBe(true);
  });

  test(`the pods of the ${name} are restricted`, () => {
    const pod = workload(name).spec!.template!.spec;
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(containerOf(name).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  test(`the image of the ${name} has a Dockerfile that starts its main file without root`, () => {
    expect(containerOf(name).image).toBe(`thaw/${name}`);
    const file = readFileSync(join(docker, `${name}.Dockerfile`), 'utf8');
    expect(file).toContain(`ENTRYPOINT ["node", "services/${name}/dist/main.js"]`);
    expect(file).toMatch(/^USER 10001:10001$/m);
    for (const { containerPort } of containerOf(name).ports ?? []) expect(file).toMatch(new RegExp(`^EXPOSE .*\\b${containerPort}\\b`, 'm'));
  });
}

test('the secrets that the manifests name are documented, and no others', () => {
  const used = new Set<string>();
  for (const manifest of manifests)
    for (const container of manifest.spec?.template?.spec.containers ?? []) {
      for (const { valueFrom } of container.env ?? []) if (valueFrom?.secretKeyRef) used.add(`${valueFrom.secretKeyRef.name}/${valueFrom.secretKeyRef.key}`);
      for (const { secretRef } of container.envFrom ?? []) if (secretRef) used.add(secretRef.name);
    }
  const text = readFileSync(fileURLToPath(new URL('../../docs/operations.md', import.meta.url)), 'utf8');
  const documented = [...text.matchAll(/^\| `(thaw-[^`]+)` \|/gm)].map((match) => match[1]);
  expect(documented.sort()).toEqual([...used].sort());
});

const overlay = fileURLToPath(new URL('../../deploy/k8s/overlays/gpu/', import.meta.url));

test('the GPU overlay changes the trainer of the base, to settings that it has, and asks for one GPU', () => {
  const { resources, patches } = parseAllDocuments(readFileSync(join(overlay, 'kustomization.yaml'), 'utf8'))[0]!.toJS() as {
    resources: string[];
    patches: { path: string }[];
  };
  expect(resources).toEqual(['../../base']);
  expect(patches.map(({ path }) => path)).toEqual(readdirSync(overlay).filter((file) => file !== 'kustomization.yaml'));
  const [patch, ...others] = patches.map(({ path }) => parseAllDocuments(readFileSync(join(overlay, path), 'utf8'))[0]!.toJS() as Manifest);
  expect(others).toEqual([]);
  const target = workload('trainer');
  expect(patch).toMatchObject({ kind: target.kind, metadata: { name: target.metadata.name, namespace: kustomization.namespace } });
  const [container, ...more] = patch!.spec!.template!.spec.containers;
  expect(more).toEqual([]);
  expect(container!.name).toBe(containerOf('trainer').name);
  const given = (container!.env ?? []).filter(({ name }) => name.startsWith('THAW_'));
  const base = new Set((containerOf('trainer').env ?? []).map(({ name }) => name));
  // Only what the base sets already: a merge by name, nothing that the base's own test would not see.
  expect(given.filter(({ name }) => !base.has(name))).toEqual([]);
  expect(Object.fromEntries(given.map(({ name, value }) => [name, value]))).toEqual({ THAW_ENGINE: 'onnx-cuda', THAW_WORKERS: '1' });
  expect(engineKinds).toContain('onnx-cuda');
  expect(container!.resources).toMatchObject({ limits: { 'nvidia.com/gpu': 1 } });
});

test('the image of the GPU overlay has a Dockerfile: the same files, user and port, and the CUDA provider from its installer', () => {
  const lines = (name: string): string[] => readFileSync(join(docker, name), 'utf8').split('\n');
  const [cpu, gpu] = [lines('trainer.Dockerfile'), lines('trainer.gpu.Dockerfile')];
  const kept = /^(COPY --from=build \/app|USER|EXPOSE|ENTRYPOINT|WORKDIR|ENV)/;
  expect(gpu.filter((line) => kept.test(line))).toEqual(cpu.filter((line) => kept.test(line)));
  const text = gpu.join('\n');
  expect(text).toContain('-t thaw/trainer-gpu .');
  expect(text).toContain('ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install');
  // CUDA 12 and cuDNN 9, as the installer's libraries want them.
  expect(text).toMatch(/^FROM nvidia\/cuda:12\.\d+\.\d+-cudnn-runtime-ubuntu24\.04$/m);
  const metadata = createRequire(import.meta.url)('onnxruntime-node/script/install-metadata.js') as { requirements: Record<string, string[]> };
  expect(metadata.requirements['linux/x64']).toContain('cuda12');
});
