/** `thaw engine`: what the engine makes of a run's programs, and what each part costs. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  degradationProgram,
  degradationOf,
  restorationProgram,
  algorithm2Program,
  tableInputs,
  trainingProgram,
} from '@thaw/shared/diffusion';
import {
  openEngine,
  probeCall,
  profileProgram,
  simplify,
  summarize,
  toDot,
  trace,
  type LoweringSummary,
  type OnnxEngine,
  type Program,
  type ProgramDefinition,
  type ProgramProfile,
} from '@thaw/shared/engine';
import { recomputeOf, type RunConfig } from '@thaw/shared/protocol';
import { mebibytes, table } from '../terminal/output.js';
import type { ProgramName } from './program-name.js';
import { readRunFile } from './run-file.js';

export interface ProgramChoice {
  readonly file: string;
  readonly program: ProgramName;
  /** The run's micro-batch unless given. */
  readonly batch?: number;
  /** What a training program computes again, as a trainer's configuration writes it. */
  readonly recompute?: string;
}

const definitions: Readonly<Record<ProgramName, (run: RunConfig, batch: number) => ProgramDefinition>> = {
  training: (run, batch) => trainingProgram(run, batch),
  restoration: (run, batch) => restorationProgram(run, batch),
  degradation: (run, batch) => degradationProgram(run, batch),
  algorithm2: (run, batch) => algorithm2Program(run, batch),
};

function definitionOf({ file, program, batch }: ProgramChoice): { run: RunConfig; definition: ProgramDefinition } {
  const run = readRunFile(file);
  return { run, definition: definitions[program](run, batch ?? run.batch.micro) };
}

/** Lowered as the CPU engine of this machine would load it. */
async function lowered(definition: ProgramDefinition, { recompute }: ProgramChoice): Promise<Program> {
  const engine = (await openEngine({ kind: 'onnx-cpu' })) as OnnxEngine;
  try {
    return engine.compile(definition, { recompute: recomputeOf(recompute ?? 'none') });
  } finally {
    await engine.close();
  }
}

export interface WrittenGraph {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Writes the ONNX file of a program. */
export async function writeOnnx(choice: ProgramChoice, out: string): Promise<WrittenGraph> {
  const { onnx } = await lowered(definitionOf(choice).definition, choice);
  writeFileSync(out, onnx);
  return { file: out, bytes: onnx.length, sha256: createHash('sha256').update(onnx).digest('hex') };
}

/** The simplified tfjs graph in the language of Graphviz. */
export const graphDot = (choice: ProgramChoice): string => toDot(simplify(trace(definitionOf(choice).definition)));

export async function graphSummary(choice: ProgramChoice): Promise<LoweringSummary> {
  const { definition } = definitionOf(choice);
  const { blockedConv } = await lowered(definition, choice);
  return summarize(trace(definition), {
    capabilities: { blockedConv },
    recompute: recomputeOf(choice.recompute ?? 'none'),
  });
}

export function summaryText(summary: LoweringSummary): string {
  const counts = (values: Readonly<Record<string, number>>): string =>
    Object.entries(values)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  const strategies = new Map<string, number>();
  for (const { op, filter, output, strategy } of summary.convolutions) {
    const line = `${strategy}\u0000${op}\u0000${filter.join('x')}\u0000${output.join('x')}`;
    strategies.set(line, (strategies.get(line) ?? 0) + 1);
  }
  return [
    `${summary.name}: ${summary.recordedNodes} recorded nodes, ${summary.simplifiedValues} values after simplification, ${summary.onnxNodes} ONNX nodes`,
    `Constants    ${summary.onnxBytesOfConstants} bytes`,
    `Memory       ${mebibytes(summary.memory.peakBytes)} at once by reckoning, of them results ${mebibytes(summary.memory.resultBytes)} in the end; beside weights and inputs`,
    ...summary.recomputation.map(
      ({ recompute, peakBytes, onnxNodes }) =>
        `  recompute ${String(recompute).padEnd(8)} ${mebibytes(peakBytes)} at once, ${onnxNodes} nodes`,
    ),
    `Operators    ${counts(summary.operators)}`,
    `Rules        ${counts(summary.rules)}`,
    'Convolutions',
    table([...strategies].map(([line, count]) => [`  ${count}x`, ...line.split('\u0000')])),
  ].join('\n');
}

/** Time per node of a program, on drawn weights and images. */
export async function profile(choice: ProgramChoice, calls: number): Promise<ProgramProfile> {
  const { run, definition } = definitionOf(choice);
  const program = await lowered(definition, choice);
  const tables = tableInputs(degradationOf(run));
  const call = probeCall(
    {
      compiled: program,
      probeInput: (name, size) => (/severity/i.test(name) ? new Int32Array(size).fill(1) : tables[name]),
    },
    0,
  );
  return profileProgram(program, call, calls);
}

export function profileText(profiled: ProgramProfile, rows: number): string {
  const share = (milliseconds: number): string => `${((100 * milliseconds) / profiled.milliseconds).toFixed(1)} %`;
  const grouped = (pick: (node: ProgramProfile['nodes'][number]) => string): string[][] => {
    const groups = new Map<string, { count: number; milliseconds: number }>();
    for (const node of profiled.nodes) {
      const group = groups.get(pick(node)) ?? { count: 0, milliseconds: 0 };
      groups.set(pick(node), { count: group.count + 1, milliseconds: group.milliseconds + node.milliseconds });
    }
    return [...groups]
      .sort((a, b) => b[1].milliseconds - a[1].milliseconds)
      .slice(0, rows)
      .map(([name, { count, milliseconds }]) => [
        `  ${milliseconds.toFixed(2)} ms`,
        share(milliseconds),
        `${count} nodes`,
        name,
      ]);
  };
  return [
    `${profiled.program}: ${profiled.milliseconds.toFixed(1)} ms in ${profiled.nodes.length} nodes (medians of ${profiled.calls} calls)`,
    'By ONNX operator',
    table(grouped(({ operator }) => operator)),
    'By tfjs kernel',
    table(grouped(({ kernel }) => kernel)),
    'Nodes',
    table(
      profiled.nodes
        .slice(0, rows)
        .map(({ node, milliseconds }) => [`  ${milliseconds.toFixed(2)} ms`, share(milliseconds), node]),
    ),
  ].join('\n');
}
