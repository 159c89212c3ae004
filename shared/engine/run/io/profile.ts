import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { kernelOfNode, storedShape } from '../../lower/index.js';
import type { EngineCall, Program } from '../../types.js';
import { sessionOptions } from '../session-options.js';

/** Time of one node of a lowered graph, as ONNX Runtime measured it (it may have fused several into one). */
export interface NodeCost {
  readonly node: string;
  /** ONNX operator. */
  readonly operator: string;
  /** The tfjs kernel that it computes a part of, or 'output' for what only places outputs. */
  readonly kernel: string;
  /** Median over the calls. */
  readonly milliseconds: number;
}

export interface ProgramProfile {
  readonly program: string;
  readonly calls: number;
  /** Sum over the nodes; the profiler's own work is in it. */
  readonly milliseconds: number;
  /** The most expensive first. */
  readonly nodes: readonly NodeCost[];
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

const kernelTime = '_kernel_time';
/** First calls fill caches and the arena. */
const warmUpCalls = 2;

/** Runs a program on the CPU provider in the calling thread, which waits, and tells what each node costs. */
export async function profileProgram(
  program: Program,
  { weights, inputs }: Pick<EngineCall, 'weights' | 'inputs'>,
  calls: number,
): Promise<ProgramProfile> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-profile-'));
  try {
    const session = await ort.InferenceSession.create(program.onnx, {
      ...sessionOptions('cpu'),
      enableProfiling: true,
      profileFilePrefix: join(folder, 'profile'),
    });
    const offered: Record<string, ort.Tensor> = {};
    for (const weight of program.weights)
      offered[weight.name] = new ort.Tensor('float32', weights[weight.name]!, storedShape(weight));
    for (const { name, dtype, shape } of program.inputs) offered[name] = new ort.Tensor(dtype, inputs[name]!, shape);
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, offered[name]!]));
    for (let i = 0; i < warmUpCalls + calls; i++) await session.run(feeds);
    session.endProfiling();
    await session.release();
    const [file] = readdirSync(folder);
    const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as ProfileEvent[];
    return summed(program.name, calls, events);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function summed(program: string, calls: number, events: readonly ProfileEvent[]): ProgramProfile {
  const times = new Map<string, { operator: string; durations: number[] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith(kernelTime)) continue;
    const node = name.slice(0, -kernelTime.length);
    const entry = times.get(node) ?? { operator: args?.op_name ?? 'unknown', durations: [] };
    entry.durations.push(dur);
    times.set(node, entry);
  }
  const nodes = [...times]
    .map(([node, { operator, durations }]): NodeCost => {
      const measured = durations.slice(warmUpCalls).sort((a, b) => a - b);
      const milliseconds = (measured[measured.length >> 1] ?? 0) / 1000;
      return { node, operator, kernel: kernelOfNode(node) ?? 'output', milliseconds };
    })
    .sort((a, b) => b.milliseconds - a.milliseconds || (a.node < b.node ? -1 : 1));
  return { program, calls, milliseconds: nodes.reduce((sum, node) => sum + node.milliseconds, 0), nodes };
}
