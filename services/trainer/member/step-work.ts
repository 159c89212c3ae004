/**
 * One step at one trainer (rules 7 to 14): which lanes to compute, the contributions to the owners, the owner's own sums, raises, totals,
 * and what is asked for again when it does not come.
 */
import { lanesOf, ownerOf, sumsOf, type BulkFrame, type Plan } from '@thaw/shared/protocol';
import { plainKernels } from '../kernels/index.js';
import { chunkValues, type Layout } from '../reduce/index.js';
import { ChunkOwner, exponentsDigest, type Contribution, type Settlement } from './chunk-owner.js';
import type { TrainerOptions } from './events.js';
import { LaneGradients } from './lane-gradients.js';
import type { Outbox } from './outbox.js';
import { StepRequests, type TotalsAnswer } from './step-requests.js';
import type { ChunkTotal } from './step-totals.js';
import type { TrainingState } from './training-state.js';

export class StepWork {
  protected readonly options: TrainerOptions;
  protected readonly layout: Layout;
  protected readonly state: TrainingState;
  protected readonly out: Outbox;
  protected readonly owner: ChunkOwner;
  protected readonly gradients: LaneGradients;
  private readonly requested = new Set<number>();
  private readonly failed = new Set<number>();
  private currentPlan: Plan | undefined;
  private ownLanes: readonly number[] = [];
  /** Contributions of this step went out in this generation. */
  private contributed = false;
  /** Chunks still to go in this generation, the next one last. */
  private toContribute: number[] = [];
  private readonly requests: StepRequests;

  constructor(
    options: TrainerOptions,
    state: TrainingState,
    out: Outbox,
    owner = new ChunkOwner(options.layout, options.laneCount),
  ) {
    this.options = options;
    this.layout = options.layout;
    this.state = state;
    this.out = out;
    this.owner = owner;
    this.requests = new StepRequests(options, state, owner, out);
    this.gradients = new LaneGradients(options.layout, options.laneCount, options.kernels ?? plainKernels);
  }

  get plan(): Plan | undefined {
    return this.currentPlan;
  }
  get generation(): number {
    return this.currentPlan?.generation ?? 0;
  }
  /** This trainer's lanes in the plan. */
  get lanes(): readonly number[] {
    return this.ownLanes;
  }
  /** All own lanes of the coming step are computed. */
  get lanesDone(): boolean {
    return this.gradients.covers(this.ownLanes);
  }

  /** A newer plan governs the coming step at once (rule 4). */
  adopt(plan: Plan): void {
    this.currentPlan = plan;
    this.ownLanes = lanesOf(plan, this.options.id);
    this.out.generation = plan.generation;
    this.restart();
    this.owner.beginGeneration(plan.members.map((member) => member.id));
    const stays = new Set(this.ownLanes);
    for (const lane of [...this.requested])
      if (!stays.has(lane)) {
        this.requested.delete(lane);
        this.out.push({ kind: 'cancelLane', step: this.state.step, lane });
      }
    this.out.push({ kind: 'planAdopted', plan, lanes: this.ownLanes });
  }

  /** The weights have changed: running lanes are worthless (rule 7). */
  beginStep(): void {
    for (const gradient of this.gradients.takeAll()) this.out.push({ kind: 'releaseGradient', gradient });
    if (this.requested.size > 0) this.out.push({ kind: 'cancelLanes', step: this.state.step - 1 });
    this.requested.clear();
    this.failed.clear();
    this.restart();
    this.owner.beginStep();
  }
  private restart(): void {
    this.contributed = false;
    this.toContribute = [];
  }
  /** Stops computing at this boundary. */
  rest(): void {
    if (this.requested.size > 0) this.out.push({ kind: 'cancelLanes', step: this.state.step });
    this.requested.clear();
  }

  requestLanes(): void {
    for (const lane of this.ownLanes) {
      if (this.requested.has(lane) || this.gradients.has(lane)) continue;
      this.requested.add(lane);
      this.out.push({ kind: 'computeLane', step: this.state.step, lane });
    }
  }
  /** Returns whether the result was of use; otherwise the gradient is given back. */
  laneDone(step: number, lane: number, loss: number, gradient: Float32Array): boolean {
    if (step !== this.state.step || !this.requested.delete(lane)) {
      this.out.push({ kind: 'releaseGradient', gradient });
      return false;
    }
    this.gradients.add(lane, gradient, loss);
    return true;
  }
  laneFailed(step: number, lane: number): void {
    if (step === this.state.step && this.requested.has(lane)) this.failed.add(lane);
  }
  /** Failed lanes are asked for once more; called now and then. */
  retryFailed(): void {
    for (const lane of this.failed) this.requested.delete(lane);
    this.failed.clear();
  }

  /**
   * Sends the contributions of the coming step if they are ready and have not gone out in this generation: those of at least one chunk, and
   * of no more than about `maxValues` values. Returns how many values; 0: there was nothing to send.
   */
  contribute(maxValues: number): number {
    if (!this.contributed) {
      if (this.currentPlan === undefined || this.ownLanes.length === 0 || !this.lanesDone) return 0;
      this.contributed = true;
      this.toContribute = this.state.totals.missing().reverse();
    }
    let values = 0;
    while (values < maxValues) {
      const chunk = this.toContribute.pop();
      if (chunk === undefined) break;
      // Somebody else's total may have come meanwhile.
      if (this.state.totals.has(chunk)) continue;
      const { start, end } = chunkValues(this.layout, chunk);
      values += (end - start) * this.ownLanes.length;
      this.contributeChunk(chunk, this.baseOf(chunk));
    }
    return values;
  }

  private baseOf(chunk: number): Int8Array {
    return this.state.arrays.exponents.slice(this.layout.chunkBlocks[chunk]!, this.layout.chunkBlocks[chunk + 1]!);
  }

  private contributeChunk(chunk: number, exponents: Int8Array): void {
    const lanes = this.ownLanes;
    const assessment = this.gradients.assess(chunk, lanes, exponents);
    const losses = chunk === 0 ? this.gradients.losses(lanes) : [];
    const digest = exponentsDigest(exponents);
    const owner = ownerOf(this.currentPlan!, chunk)!;
    if (owner === this.options.id) {
      const contribution: Contribution =
        assessment.kind === 'sum'
          ? { kind: 'sum', sums: (into) => this.gradients.addTo(into, chunk, lanes, exponents) }
          : assessment;
      this.take(chunk, this.options.id, digest, contribution, losses);
      return;
    }
    const common = {
      type: 'contribution',
      step: this.state.step,
      chunk,
      exponentsDigest: digest,
      historyDigest: this.state.head!.historyDigest,
      losses,
    } as const;
    if (assessment.kind === 'sum') {
      const sums = this.gradients.sum(chunk, lanes, exponents);
      this.out.send({ id: owner }, { ...common, kind: 'sum', data: new Uint8Array(sums.buffer) });
    } else if (assessment.kind === 'needs')
      this.out.send({ id: owner }, { ...common, kind: 'needs', exponents: assessment.exponents });
    else this.out.send({ id: owner }, { ...common, kind: 'nonfinite', items: assessment.lanes });
  }

  /** Owner: one more contribution is in; publishes or raises when it was the last. */
  private take(
    chunk: number,
    source: string,
    digest: string,
    contribution: Contribution,
    losses: BulkFrame['losses'],
  ): void {
    const settlement: Settlement = this.owner.add(
      chunk,
      source,
      digest,
      contribution,
      losses,
      this.state.arrays.exponents,
      this.state.totals,
    );
    if (settlement.kind === 'raise') {
      this.sendRaise(chunk, 'all', settlement.exponents);
      if (this.lanesDone) this.contributeChunk(chunk, settlement.exponents);
    } else if (settlement.kind === 'total') {
      this.state.store(chunk, settlement.total);
      this.requests.sendTotal(chunk, this.state.step, this.state.totals, this.state.head!.historyDigest, 'all');
    }
  }

  private sendRaise(chunk: number, to: 'all' | { readonly id: string }, exponents: Int8Array): void {
    this.out.send(to, {
      type: 'raise',
      kind: 'none',
      step: this.state.step,
      chunk,
      exponents,
      historyDigest: this.state.head!.historyDigest,
    });
  }

  /** A contribution of the present step and generation. */
  contribution(f: BulkFrame): void {
    const { chunk } = f;
    if (
      this.currentPlan === undefined ||
      ownerOf(this.currentPlan, chunk) !== this.options.id ||
      this.state.totals.has(chunk)
    )
      return;
    if (f.losses.some(({ lane }) => lane >= this.options.laneCount)) return;
    let contribution: Contribution;
    if (f.kind === 'sum') {
      const sums = sumsOf(f);
      if (sums.length !== this.state.totals.sumsOf(chunk).length) return;
      contribution = { kind: 'sum', sums };
    } else if (f.kind === 'needs') {
      if (f.exponents.length !== this.blocksOf(chunk)) return;
      contribution = { kind: 'needs', exponents: f.exponents };
    } else {
      if (f.items.some((lane) => lane >= this.options.laneCount)) return;
      contribution = { kind: 'nonfinite', lanes: f.items };
    }
    this.take(chunk, f.source, f.exponentsDigest, contribution, f.losses);
  }

  /** The owner asks for a chunk once more, at raised exponents; of the present step and generation. */
  raise(f: BulkFrame): void {
    const { chunk } = f;
    if (this.state.totals.has(chunk) || f.exponents.length !== this.blocksOf(chunk)) return;
    if (this.currentPlan === undefined || ownerOf(this.currentPlan, chunk) !== f.source) return;
    if (this.ownLanes.length > 0 && this.lanesDone) this.contributeChunk(chunk, f.exponents.slice());
  }

  /** A total of the present step, from any generation. Says whether it was new. */
  total(f: BulkFrame): boolean {
    const { chunk } = f;
    if (this.state.totals.has(chunk)) return false;
    const { laneCount } = this.options;
    if (f.losses.length !== (chunk === 0 ? laneCount : 0) || f.losses.some(({ lane }, index) => lane !== index))
      return false;
    let total: ChunkTotal;
    const losses = f.losses.map(({ loss }) => loss);
    if (f.kind === 'skip') {
      if (f.items.some((lane) => lane >= laneCount)) return false;
      total = { kind: 'skip', exponents: new Int8Array(0), losses, skippedLanes: f.items };
      this.state.store(chunk, total);
      return true;
    }
    const sums = sumsOf(f);
    if (f.exponents.length !== this.blocksOf(chunk) || sums.length !== this.state.totals.sumsOf(chunk).length)
      return false;
    total = { kind: 'sum', exponents: f.exponents.slice(), losses, skippedLanes: [] };
    this.state.store(chunk, total, sums);
    return true;
  }

  private blocksOf(chunk: number): number {
    return this.layout.chunkBlocks[chunk + 1]! - this.layout.chunkBlocks[chunk]!;
  }

  /** The owner misses this member's contributions. */
  answerContributions(chunks: readonly number[]): void {
    if (!this.contributed) return;
    for (const chunk of new Set(chunks))
      if (chunk < this.layout.chunkCount && !this.state.totals.has(chunk))
        this.contributeChunk(chunk, this.baseOf(chunk));
  }

  /** As {@link StepRequests.answerTotals}. */
  answerTotals(step: number, chunks: readonly number[], to: string, previousHistory: string): TotalsAnswer {
    return this.requests.answerTotals(step, chunks, to, previousHistory);
  }
  /** As {@link StepRequests.want}. */
  want(attempt: number): void {
    const raise = (chunk: number, to: string, exponents: Int8Array): void =>
      this.sendRaise(chunk, { id: to }, exponents);
    this.requests.want(attempt, this.currentPlan, this.contributed, raise);
  }
}
