/** What is known of the run, gathered from the machine's effects, as the page, the CLI and the metrics show it. No clock, no I/O. */
import type { EvaluateResult, Plan } from '@thaw/shared/protocol';
import type { TrainerView } from '../lead/index.js';
import type { Status, StepPoint } from './status.js';

export interface RunFacts {
  readonly run: string;
  readonly steps: number;
  readonly laneCount: number;
  readonly globalBatch: number;
  readonly stepsPerEpoch: number;
}

/** Speed is measured over the steps of this many milliseconds. */
const speedWindowMs = 15_000;
/** Without a step for so long the speed is zero. */
const stalledAfterMs = 30_000;

export class RunView {
  readonly #facts: RunFacts;
  /** Ascending by step; loss null for a skipped step. */
  readonly #points: StepPoint[] = [];
  #arrivals: { step: number; atMs: number }[] = [];
  #step = 0;
  #skipped = 0;
  #plan: Plan | undefined;
  #ending: { state: 'finished' | 'halted'; reason: string } | undefined;
  #leads = false;
  #checkpoints: Status['checkpoints'] = [];
  #channels: Status['channels'] = [];
  /** By step: what the page shows of them. */
  #evaluations = new Map<number, Pick<EvaluateResult, 'step' | 'count' | 'l1' | 'rmse'>>();

  constructor(facts: RunFacts, history: readonly StepPoint[]) {
    this.#facts = facts;
    for (const point of history) this.#append(point);
  }

  /** Steps come in order; one that is known already changes nothing. */
  stepKnown(step: number, loss: number, skipped: boolean, nowMs: number): StepPoint | undefined {
    if (step < this.#step) return undefined;
    this.#arrivals.push({ step, atMs: nowMs });
    this.#arrivals = this.#arrivals.filter(({ atMs }) => nowMs - atMs <= speedWindowMs);
    const point = { step, loss: skipped ? null : loss, imagesPerSecond: this.#imagesPerSecond(nowMs) || null };
    this.#append(point);
    return point;
  }

  /** The boundary from which the run goes on. */
  startAt(step: number): void {
    this.#step = Math.max(this.#step, step);
  }

  planChanged(plan: Plan): void {
    this.#plan = plan;
  }

  leads(leads: boolean): void {
    this.#leads = leads;
  }

  ended(state: 'finished' | 'halted', reason: string): void {
    this.#ending = { state, reason };
  }

  checkpointsListed(checkpoints: Status['checkpoints']): void {
    this.#checkpoints = checkpoints;
  }

  channelsListed(channels: Status['channels']): void {
    this.#channels = channels;
  }

  evaluated({ step, count, l1, rmse }: EvaluateResult): void {
    this.#evaluations.set(step, { step, count, l1, rmse });
  }

  get points(): readonly StepPoint[] {
    return this.#points;
  }

  status(trainers: readonly TrainerView[], nowMs: number): Status {
    const { run, steps, laneCount, globalBatch, stepsPerEpoch } = this.#facts;
    const imagesPerSecond = this.#imagesPerSecond(nowMs);
    const losses = this.#points.map((point) => point.loss).filter((loss): loss is number => loss !== null);
    const laneMs = (view: TrainerView): number => (view.laneMs === null || view.laneMs === 0 ? 0 : 1000 / view.laneMs);
    const newest = [...this.#evaluations.keys()].sort((a, b) => b - a)[0];
    const evaluation = newest === undefined ? undefined : this.#evaluations.get(newest)!;
    return {
      run,
      ...this.#state(trainers),
      step: this.#step,
      steps,
      epoch: Math.floor(this.#step / stepsPerEpoch),
      laneCount,
      generation: this.#plan?.generation,
      leader: this.#plan?.leader.id,
      imagesPerSecond,
      etaSeconds: imagesPerSecond > 0 ? ((steps - this.#step) * globalBatch) / imagesPerSecond : null,
      lossFirst: mean(losses.slice(0, 10)),
      lossLast: mean(losses.slice(-10)),
      skippedSteps: this.#skipped,
      trainers: trainers.map((view) => ({
        id: view.id,
        lanes: [...view.lanes],
        step: view.step ?? 0,
        imagesPerSecond: view.lanes.length === 0 ? 0 : (laneMs(view) * globalBatch) / laneCount,
      })),
      checkpoints: this.#checkpoints.map((checkpoint) => {
        const result = this.#evaluations.get(checkpoint.step);
        return result === undefined
          ? checkpoint
          : { ...checkpoint, l1Ratio: result.l1.ratio, rmseRatio: result.rmse.ratio };
      }),
      channels: this.#channels,
      ...(evaluation === undefined ? {} : { evaluation }),
    };
  }

  #append(point: StepPoint): void {
    if (point.step < this.#step) return;
    this.#points.push(point);
    this.#step = point.step + 1;
    if (point.loss === null) this.#skipped++;
  }

  #imagesPerSecond(nowMs: number): number {
    const [first, last] = [this.#arrivals[0], this.#arrivals.at(-1)];
    if (first === undefined || last === undefined || first === last) return 0;
    // A finished run keeps the speed that it ended with; a stalled one has none.
    if (this.#ending === undefined && nowMs - last.atMs > stalledAfterMs) return 0;
    return ((last.step - first.step) * this.#facts.globalBatch * 1000) / Math.max(1, last.atMs - first.atMs);
  }

  #state(trainers: readonly TrainerView[]): Pick<Status, 'state' | 'reason'> {
    if (this.#ending !== undefined) return this.#ending;
    if (!this.#leads)
      return { state: 'standby', reason: 'No coordinator leads at present; trainers go on with the plan they have.' };
    if (!trainers.some((view) => view.lanes.length > 0))
      return { state: 'waiting', reason: 'No trainer has a lane yet.' };
    return { state: 'running', reason: `${trainers.length} trainer(s) are connected.` };
  }
}

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
