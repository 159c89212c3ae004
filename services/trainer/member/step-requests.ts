/** What is asked for again when it does not come, and the answers to others who ask (rules 9, 12 and 14). */
import { ownerOf, type Plan } from '@thaw/shared/protocol';
import type { ChunkOwner } from './chunk-owner.js';
import type { TrainerOptions } from './events.js';
import type { Outbox } from './outbox.js';
import type { StepTotals } from './step-totals.js';
import type { TrainingState } from './training-state.js';

/** `gone`: the asker needs a snapshot instead. */
export type TotalsAnswer = 'answered' | 'gone' | 'unknown';

export class StepRequests {
  private readonly options: TrainerOptions;
  private readonly state: TrainingState;
  private readonly owner: ChunkOwner;
  private readonly out: Outbox;

  constructor(options: TrainerOptions, state: TrainingState, owner: ChunkOwner, out: Outbox) {
    this.options = options;
    this.state = state;
    this.owner = owner;
    this.out = out;
  }

  /** `historyDigest`: of the boundary before the step. */
  sendTotal(
    chunk: number,
    step: number,
    totals: StepTotals,
    historyDigest: string,
    to: 'all' | { readonly id: string },
  ): void {
    const total = totals.get(chunk)!;
    const common = {
      type: 'total',
      step,
      chunk,
      historyDigest,
      losses: total.losses.map((loss, lane) => ({ lane, loss })),
    } as const;
    if (total.kind === 'skip') this.out.send(to, { ...common, kind: 'skip', items: total.skippedLanes });
    // A copy: the totals' array is used again two steps later, perhaps before a slow link has sent this frame.
    else
      this.out.send(to, {
        ...common,
        kind: 'sum',
        exponents: total.exponents,
        data: new Uint8Array(totals.sumsOf(chunk).slice().buffer),
      });
  }

  /** Answers a want with whatever totals of that step are here. */
  answerTotals(step: number, chunks: readonly number[], to: string, previousHistory: string): TotalsAnswer {
    const own = this.state.step;
    if (step > own) return 'unknown';
    const totals = step === own ? this.state.totals : step === own - 1 ? this.state.previousTotals : undefined;
    if (totals === undefined) return 'gone';
    const historyDigest = step === own ? this.state.head!.historyDigest : previousHistory;
    for (const chunk of new Set(chunks))
      if (chunk < this.options.layout.chunkCount && totals.has(chunk))
        this.sendTotal(chunk, step, totals, historyDigest, { id: to });
    return 'answered';
  }

  /**
   * Asks again for everything that should have come by now.
   * @param attempt how often this was done without any progress in between: owners first, then another member, then everybody
   * @param contributed own contributions of the step went out in this generation
   * @param raise sends a raise to one member
   */
  want(
    attempt: number,
    plan: Plan | undefined,
    contributed: boolean,
    raise: (chunk: number, to: string, exponents: Int8Array) => void,
  ): void {
    const missing = this.state.totals.missing();
    if (missing.length === 0) return;
    const { step } = this.state;
    const { id } = this.options;
    const fromMembers = new Map<string, number[]>();
    const fromOwners = new Map<string, number[]>();
    const note = (map: Map<string, number[]>, key: string, chunk: number): void =>
      void (map.get(key)?.push(chunk) ?? map.set(key, [chunk]));
    for (const chunk of missing) {
      const owner = plan === undefined ? undefined : ownerOf(plan, chunk);
      if (owner !== undefined && owner !== id) note(fromOwners, owner, chunk);
      if (owner !== id || !contributed) continue;
      const raised = this.owner.raisedExponents(chunk);
      for (const member of this.owner.missing(chunk)) {
        if (member === id) continue;
        if (raised === undefined) note(fromMembers, member, chunk);
        else raise(chunk, member, raised);
      }
    }
    const common = { type: 'want', step, historyDigest: this.state.head!.historyDigest } as const;
    for (const [member, items] of fromMembers)
      this.out.send({ id: member }, { ...common, kind: 'wantContribution', items });
    const others = (plan?.members ?? []).map((member) => member.id).filter((member) => member !== id);
    const wantTotal = { ...common, kind: 'wantTotal' } as const;
    if (attempt % 3 === 2 || others.length === 0) this.out.send('all', { ...wantTotal, items: missing });
    else if (attempt % 3 === 1)
      this.out.send({ id: others[Math.floor(attempt / 3) % others.length]! }, { ...wantTotal, items: missing });
    else for (const [owner, items] of fromOwners) this.out.send({ id: owner }, { ...wantTotal, items });
  }
}
