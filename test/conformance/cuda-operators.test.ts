/**
 * Every program of every example, lowered for the CUDA provider: no operator that its documentation does not list, with
 * the types that it has there.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { algorithm2Program, degradationProgram, restorationProgram, trainingProgram } from '@thaw/shared/diffusion';
import { lower, notDocumentedForCuda, trace } from '@thaw/shared/engine';
import type { ProgramDefinition } from '@thaw/shared/engine';
import { RunConfigSchema, type RunConfig } from '@thaw/shared/protocol';
import { expect, it } from 'vitest';
import { parse } from 'yaml';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const lowering = {
  capabilities: { microsoftOps: false, blockedConv: false },
  missing: notDocumentedForCuda,
} as const;

/** The run with a narrow network of its kind, and few steps where that may be: the operators are the same, graph and tables small. */
function narrow(file: string): RunConfig {
  const given = parse(readFileSync(join(folder, file), 'utf8')) as Record<'network' | 'degradation', object>;
  const { kind } = RunConfigSchema.parse(given).network;
  const sizes = kind === 'ddpm-unet' ? { dim: 32, mults: [1, 1], blocks: 1 } : { dim: 16, mults: [1, 1] };
  const run = { ...given, network: { ...given.network, ...sizes } };
  const short = RunConfigSchema.safeParse({ ...run, degradation: { ...given.degradation, steps: 4 } });
  return short.success ? short.data : RunConfigSchema.parse(run);
}

/** One example for every kind of network, degradation, routine and loss. */
const seen = new Set<string>();
const files = readdirSync(folder).filter((file) => {
  if (!file.endsWith('.yaml')) return false;
  const { network, degradation, loss } = RunConfigSchema.parse(parse(readFileSync(join(folder, file), 'utf8')));
  const routine = 'routine' in degradation ? degradation.routine : '';
  const key = `${network.kind} ${degradation.family} ${routine} ${loss}`;
  if (seen.has(key)) return false;
  seen.add(key);
  return true;
});

it('there are examples of both networks', () => {
  expect([...seen].some((key) => key.startsWith('convnext-unet'))).toBe(true);
  expect(files.length).toBeGreaterThan(5);
});

/** Throws for what the provider's documentation lacks. */
const lowered = (program: ProgramDefinition): number => lower(trace(program), lowering).onnx.length;

it.each(files)('%s stays on the GPU', (file) => {
  const run = narrow(file);
  for (const program of [trainingProgram, restorationProgram, algorithm2Program, degradationProgram])
    expect(lowered(program(run, 2))).toBeGreaterThan(0);
});

it.each(['mnist-demo.yaml', 'celeba-blur.yaml'])('the training step of %s, in full size, stays on the GPU', (file) => {
  const run = RunConfigSchema.parse(parse(readFileSync(join(folder, file), 'utf8')));
  expect(lowered(trainingProgram(run, run.batch.micro))).toBeGreaterThan(0);
});
