/** `thaw doctor --model`: what a run's training step takes on this machine, and the largest micro-batch that fits. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { networkWeights } from '@thaw/shared/diffusion';
import { ThawError, type RunConfig } from '@thaw/shared/protocol';
import { builtFile } from '@thaw/shared/runtime';
import { allocatorSettings } from '../cluster/children.js';
import { mebibytes, table } from '../terminal/output.js';
import { searchLargestBatch, type Trial } from './largest-batch.js';
import type { StepMeasured } from './measure-step.js';
import { readRunFile } from './run-file.js';

export interface ModelOptions {
  readonly file: string;
  /** Memory that a trainer may take; what this machine, or its container, has left unless given. */
  readonly limitBytes?: number;
  /** No further trial is begun after so long. */
  readonly seconds: number;
  /** Not looked beyond. */
  readonly greatest: number;
  /** What is computed again, one search each (`RecomputeTextSchema`); nothing, then everything unless given. */
  readonly recompute?: readonly string[];
}

/** The largest micro-batch with one way to recompute. */
export interface BatchFound {
  readonly recompute: string;
  readonly largestMicroBatch: number;
  /** False: the time was up before the end was found. */
  readonly complete: boolean;
  readonly trials: readonly Trial[];
}

export interface LevelSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Of one output of this level, one image, fp32. */
  readonly bytesPerImage: number;
}

export interface ModelDiagnosis {
  readonly run: string;
  readonly parameters: number;
  readonly bytes: {
    readonly weights: number;
    readonly average: number;
    readonly moments: number;
    /** Sums of two steps and one gradient: what a trainer holds beside its state. */
    readonly step: number;
  };
  readonly levels: readonly LevelSize[];
  readonly limitBytes: number;
  /** The engine that computed, and why it was taken; null where no step came to its end. */
  readonly engine: string | null;
  readonly microBatch: number;
  /** Of the first search. */
  readonly largestMicroBatch: number;
  readonly searches: readonly BatchFound[];
}

const smallestBatch = 2;
/** How often a trial's memory is looked at while it runs. */
const watchMs = 50;

export async function diagnoseModel(options: ModelOptions): Promise<ModelDiagnosis> {
  const run = readRunFile(options.file);
  const parameters = Object.values(networkWeights(run)).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const limitBytes = options.limitBytes ?? availableBytes();
  const bytes = { weights: 4 * parameters, average: 4 * parameters, moments: 8 * parameters, step: 12 * parameters };
  // A trial holds the weights and the outputs of a step; a trainer the rest as well.
  const besides = bytes.average + bytes.moments + bytes.step;
  const begun = performance.now();
  const searches: BatchFound[] = [];
  let engine: string | null = null;
  for (const recompute of options.recompute ?? ['none', 'all']) {
    const { largest, complete, trials } = await searchLargestBatch({
      smallest: smallestBatch,
      greatest: options.greatest,
      limitBytes,
      measure: (microBatch) =>
        tryBatch(options.file, microBatch, recompute, besides, limitBytes, (taken) => (engine = taken)),
      timeIsUp: () => performance.now() - begun > 1000 * options.seconds * (searches.length + 1),
    });
    searches.push({ recompute, largestMicroBatch: largest, complete, trials });
  }
  const known = { run: run.name, parameters, bytes, levels: levelSizes(run), limitBytes, engine };
  const { largestMicroBatch } = searches[0]!;
  return { ...known, microBatch: run.batch.micro, largestMicroBatch, searches };
}

/** Height, width and channels of the network's levels, finest first. */
export function levelSizes({ network, data }: Pick<RunConfig, 'network' | 'data'>): LevelSize[] {
  return network.mults.map((factor, level) => {
    const side = Math.ceil(data.size / 2 ** level);
    const channels = network.dim * factor;
    return { height: side, width: side, channels, bytesPerImage: 4 * side * side * channels };
  });
}

/** What is free for this process now, within its container's limit. */
function availableBytes(): number {
  const constrained = process.constrainedMemory();
  const limit = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.min(limit, process.availableMemory());
}

function tryBatch(
  file: string,
  microBatch: number,
  recompute: string,
  besides: number,
  limitBytes: number,
  took: (engine: string) => void,
): Promise<Trial> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(builtFile(import.meta.url, './measure-step.js')), file, String(microBatch), recompute],
    { stdio: ['ignore', 'pipe', 'ignore'], env: { ...allocatorSettings, ...process.env } },
  );
  let above = false;
  const watch = setInterval(() => {
    if (residentBytes(child.pid) + besides <= limitBytes) return;
    above = true;
    child.kill('SIGKILL');
  }, watchMs);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearInterval(watch);
      if (above) return resolve({ microBatch, peakBytes: undefined, fits: false, note: 'stopped above the limit' });
      if (code !== 0) return resolve({ microBatch, peakBytes: undefined, fits: false, note: 'failed' });
      const measured = JSON.parse(output.trim().split('\n').at(-1)!) as StepMeasured;
      if ('refused' in measured) {
        const { code, message, cure } = measured.refused;
        // No matter of memory: no other size would do better.
        if (code === 'THAW_ENGINE_UNAVAILABLE')
          reject(new ThawError(code, message, cure === undefined ? {} : { cure }));
        else resolve({ microBatch, peakBytes: undefined, fits: false, note: `${code}: ${message}` });
        return;
      }
      took(`${measured.engine} (${measured.why})`);
      const whole = measured.peakBytes + besides;
      resolve({ microBatch, peakBytes: whole, fits: whole <= limitBytes });
    });
  });
}

/** Resident memory of a process on Linux; 0 where it cannot be read (it has ended, or this is another system). */
function residentBytes(pid: number | undefined): number {
  try {
    return 1024 * Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

export function modelText(model: ModelDiagnosis): string {
  const { bytes } = model;
  return [
    `Run ${model.run}: ${model.parameters} parameters`,
    `Weights      ${mebibytes(bytes.weights)}, average ${mebibytes(bytes.average)}, moments ${mebibytes(bytes.moments)}, sums and gradient ${mebibytes(bytes.step)}`,
    'Levels',
    table(
      model.levels.map(({ height, width, channels, bytesPerImage }) => [
        `  ${height} x ${width} x ${channels}`,
        `${mebibytes(bytesPerImage)} per output and image`,
      ]),
    ),
    ...(model.engine === null ? [] : [`Engine       ${model.engine}`]),
    `Largest micro-batch within ${mebibytes(model.limitBytes)}`,
    ...model.searches.map((search) => searchText(search, model.microBatch)),
  ].join('\n');
}

function searchText({ recompute, largestMicroBatch, complete, trials }: BatchFound, microBatch: number): string {
  const largest =
    largestMicroBatch === 0
      ? complete
        ? `not even ${smallestBatch} fits`
        : 'none was tried in time'
      : `${largestMicroBatch}${complete ? '' : ' or more: the time was up'}`;
  const verdict = microBatch <= largestMicroBatch ? 'fits' : complete ? 'does not fit' : 'was not reached in time';
  return [
    `  recompute ${recompute}: ${largest}; the run's, ${microBatch}, ${verdict}`,
    table(
      trials.map((trial) => [
        `    ${trial.microBatch}`,
        trial.peakBytes === undefined ? (trial.note ?? '') : mebibytes(trial.peakBytes),
        trial.fits ? 'fits' : 'does not fit',
      ]),
    ),
  ].join('\n');
}
