/** `thaw engine`: what it writes can be read by others, what it measures has names, and a wrong run leaves nothing behind. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { restorationProgram, trainingProgram } from '@thaw/shared/diffusion';
import { simplify, supportedKernels, trace, type LoweringSummary, type ProgramProfile } from '@thaw/shared/engine';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { smallRun } from '../small-run.fixture.js';

const thaw = fileURLToPath(new URL('../../cli/bin/thaw.js', import.meta.url));
// The engine's own package: its names and types are not those of a dependency of these tests.
const { InferenceSession } = createRequire(new URL('../../shared/package.json', import.meta.url))(
  'onnxruntime-node',
) as typeof import('onnxruntime-node');

const run = RunConfigSchema.parse(smallRun);
let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'thaw-engine-'));
  writeFileSync(join(work, 'run.yaml'), JSON.stringify(smallRun));
  writeFileSync(join(work, 'odd.yaml'), JSON.stringify({ ...smallRun, data: { ...smallRun.data, size: 9 } }));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function engine(...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('THAW_')));
  const child = spawn(process.execPath, [thaw, 'engine', ...args], {
    cwd: work,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

test.concurrent('graph: operators, rewrites, and how each convolution is computed', async () => {
  const { code, stdout } = await engine('graph', 'run.yaml', '--json');
  expect(code).toBe(0);
  const summary = JSON.parse(stdout) as LoweringSummary;
  const graph = trace(trainingProgram(run, 2));
  expect(summary).toMatchObject({ name: 'training', recordedNodes: graph.nodes.length });
  expect(Object.values(summary.operators).reduce((sum, count) => sum + count, 0)).toBe(summary.onnxNodes);
  expect(Object.keys(summary.rules).length).toBeGreaterThan(10);
  const convolutions = graph.nodes.filter(({ op }) => /Conv2D|Conv2dNative/.test(op));
  expect(convolutions.length).toBeGreaterThan(50);
  // Equal ones were merged, none was lost: every kind of convolution and gradient is there with a strategy.
  expect(new Set(summary.convolutions.map(({ op }) => op))).toEqual(new Set(convolutions.map(({ op }) => op)));
  for (const { strategy } of summary.convolutions) expect(strategy).toMatch(/^[a-z][a-z0-9-]+$/);
});

test.concurrent('graph --onnx: a file that ONNX Runtime loads, with the weights and inputs of the run', async () => {
  const { code, stdout } = await engine('graph', 'run.yaml', '--onnx', '--out', 'training.onnx', '--json');
  expect(code).toBe(0);
  const bytes = readFileSync(join(work, 'training.onnx'));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect(JSON.parse(stdout)).toEqual({ file: 'training.onnx', bytes: bytes.length, sha256 });
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const { weights, inputs } = trainingProgram(run, 2);
  const names = Object.keys(weights);
  expect(session.inputNames).toEqual(expect.arrayContaining([...names, ...Object.keys(inputs)]));
  expect([...session.outputNames].sort()).toEqual(['loss', ...names.map((name) => `grad/${name}`)].sort());
  await session.release();
});

test.concurrent(
  'graph --dot: one node for each value of the simplified graph, one arrow for each operand',
  async () => {
    const { code, stdout } = await engine('graph', 'run.yaml', '--program', 'restoration', '--dot');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('digraph "restoration" {');
    expect(lines.at(-1)).toBe('}');
    const { values } = simplify(trace(restorationProgram(run, 2)));
    const declared = lines.flatMap((line) => /^ {2}(v\d+) \[(?:shape=\w+, )?label="[^"]+"\];$/.exec(line)?.[1] ?? []);
    expect(new Set(declared).size).toBe(declared.length);
    expect(declared.length).toBe(values.length);
    const arrows = lines.flatMap((line) => {
      const [, from, to] = /^ {2}(v\d+) -> (v\d+);$/.exec(line) ?? [];
      return from === undefined ? [] : [[from, to]];
    });
    expect(arrows.flat().filter((name) => !declared.includes(name!))).toEqual([]);
    expect(arrows.length).toBe(values.reduce((sum, { inputs }) => sum + inputs.length, 0));
  },
);

test.concurrent(
  'profile: every node that ONNX Runtime ran belongs to a tfjs kernel, or only places an output',
  async () => {
    const { code, stdout } = await engine('profile', 'run.yaml', '--calls', '1', '--json');
    expect(code).toBe(0);
    const { program, calls, milliseconds, nodes } = JSON.parse(stdout) as ProgramProfile;
    expect([program, calls]).toEqual(['training', 1]);
    const known = new Set(supportedKernels().map(({ kernel }) => kernel));
    expect(nodes.filter(({ kernel }) => kernel !== 'output' && !known.has(kernel))).toEqual([]);
    expect(nodes.filter(({ kernel }) => kernel === 'output').length).toBeLessThan(nodes.length / 50);
    for (const kernel of ['Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter', 'DepthwiseConv2dNative'])
      expect(nodes.map((node) => node.kernel)).toContain(kernel);
    expect(nodes.reduce((sum, node) => sum + node.milliseconds, 0)).toBeCloseTo(milliseconds, 6);
    expect(milliseconds).toBeGreaterThan(0);
  },
);

test.concurrent('a size that the network cannot halve is refused with nothing left', async () => {
  const odd = await engine('graph', 'odd.yaml', '--onnx', '--out', 'odd.onnx', '--json');
  expect(odd.code).toBe(3);
  const { error } = JSON.parse(odd.stdout) as { error: { code: string; message: string } };
  expect(error.code).toBe('THAW_CONFIG_INVALID');
  expect(error.message).toContain('data.size: must be divisible by 2');
  expect(existsSync(join(work, 'odd.onnx'))).toBe(false);
});
