/** The simulation can see: with one rule of PROTOCOL.md broken, some schedule fails, and for the expected reason. */
import { ChunkOwner, StepWork, Trainer, TrainingState, type TrainerOptions } from '@thaw/trainer';
import { describe, expect, it } from 'vitest';
import { runSchedule, type MakeTrainer } from './cluster.js';
import { scenarios } from './toy-model.js';

class OwnerThatKeepsSums extends ChunkOwner {
  override beginGeneration(members: readonly string[]): void {
    this.members = members;
  }
}
class WithOwnerThatKeepsSums extends Trainer {
  protected override createWork(): StepWork {
    return new StepWork(
      this.options,
      this.state,
      this.out,
      new OwnerThatKeepsSums(this.options.layout, this.options.laneCount),
    );
  }
}

class StateThatAppliesChunks extends TrainingState {
  override store(...[chunk, total, sums]: Parameters<TrainingState['store']>): void {
    if (this.totals.has(chunk)) return;
    super.store(chunk, total, sums);
    const { chunkBlocks } = this.layout;
    if (total.kind === 'sum') super.updateBlocks(chunkBlocks[chunk]!, chunkBlocks[chunk + 1]!, this.updateOf());
  }
  protected override updateBlocks(): void {}
}
class WithStateThatAppliesChunks extends Trainer {
  protected override createState(): TrainingState {
    return new StateThatAppliesChunks(this.options);
  }
}

class WorkThatKeepsOldLanes extends StepWork {
  override laneDone(_step: number, lane: number, loss: number, gradient: Float32Array): boolean {
    return super.laneDone(this.state.step, lane, loss, gradient);
  }
}
class WithWorkThatKeepsOldLanes extends Trainer {
  protected override createWork(): StepWork {
    return new WorkThatKeepsOldLanes(this.options, this.state, this.out);
  }
}

class WorkThatSendsOnce extends StepWork {
  private sentStep = -1;
  override contribute(): number {
    if (this.sentStep === this.state.step) return 0;
    const sent = super.contribute(Infinity);
    if (sent > 0) this.sentStep = this.state.step;
    return sent;
  }
  override answerContributions(): void {}
}
class WithWorkThatSendsOnce extends Trainer {
  protected override createWork(): StepWork {
    return new WorkThatSendsOnce(this.options, this.state, this.out);
  }
}

const broken: readonly { readonly rule: string; readonly seen: RegExp; readonly make: MakeTrainer }[] = [
  {
    rule: '7: a lane counts only for the weights it was computed at',
    seen: /P1|P2|I1|DIVERGED/,
    make: (options: TrainerOptions) => new WithWorkThatKeepsOldLanes(options),
  },
  {
    rule: '9: contributions are sent again after a change of generation and on request',
    seen: /liveness/,
    make: (options) => new WithWorkThatSendsOnce(options),
  },
  {
    rule: '10: a new generation starts from zero',
    seen: /P1|P2|I1|DIVERGED/,
    make: (options) => new WithOwnerThatKeepsSums(options),
  },
  {
    rule: '13: nothing is applied before all chunks are in',
    seen: /P1|P2|I1|DIVERGED/,
    make: (options) => new WithStateThatAppliesChunks(options),
  },
];

describe('the simulation sees a broken rule', () => {
  it.each(broken)('$rule', ({ make, seen }) => {
    const scenario = scenarios[0]!;
    for (let seed = 1; seed <= 150; seed++) {
      const { violation } = runSchedule(seed, { scenario, makeTrainer: make });
      if (violation === undefined || !seen.test(violation)) continue;
      expect(runSchedule(seed, { scenario, makeTrainer: make }).violation, 'a failing seed replays').toBe(violation);
      expect(runSchedule(seed, { scenario }).violation, 'the rule alone makes the difference').toBeUndefined();
      return;
    }
    expect.unreachable('no schedule failed');
  });
});
