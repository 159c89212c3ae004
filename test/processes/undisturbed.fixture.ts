/** The run of one trainer with which nothing happens, for comparison with runs that are disturbed. */
import { expect } from 'vitest';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';

/** More steps than any test waits for. What a test does to such a run comes before its end, however slow the machine is. */
export const endless = 100_000;

const { everySteps } = smallRun().checkpoint;

export class Undisturbed {
  readonly #disturbed: { readonly what: string; readonly checkpoints: ReadonlyMap<number, string> }[] = [];

  /**
   * Keeps the checkpoints of a run for {@link expectSame}, when it has a regular one of a step that comes after `step`. Which
   * step that is is left open: a run whose steps take less time than a checkpoint leaves some out.
   */
  async goesOn(what: string, of: ProcessCluster, step: number): Promise<void> {
    await until(`a regular checkpoint of a step after ${step}`, async () =>
      [...(await of.checkpoints()).keys()].some((at) => at > step && at % everySteps === 0),
    );
    this.#disturbed.push({ what, checkpoints: await of.checkpoints() });
  }

  /** One trainer alone makes the same bits: at the last step that each of the runs kept, and at all that it has in common with them. */
  async expectSame(): Promise<void> {
    const kept = this.#disturbed.map(({ what, checkpoints }) => ({
      what,
      // One that was written because a trainer left lies between two regular ones.
      regular: [...checkpoints].filter(([step]) => step % everySteps === 0),
    }));
    const lasts = kept.map(({ regular }) => Math.max(...regular.map(([step]) => step)));
    const undisturbed = new Map<number, string>();
    for (const step of new Set(lasts.sort((a, b) => b - a)))
      // It leaves out checkpoints like any run, but never that of its end.
      if (!undisturbed.has(step)) for (const [at, bits] of await alone(step)) undisturbed.set(at, bits);
    expect(new Set(undisturbed.values()).size).toBe(undisturbed.size);
    for (const { what, regular } of kept) {
      const common = regular.filter(([step]) => undisturbed.has(step));
      expect(common.map(([step]) => step)).toContain(Math.max(...regular.map(([step]) => step)));
      expect({ what, common }).toEqual({ what, common: common.map(([step]) => [step, undisturbed.get(step)]) });
    }
  }
}

/** The checkpoints of a run of so many steps by one trainer. */
async function alone(steps: number): Promise<ReadonlyMap<number, string>> {
  const cluster = await ProcessCluster.create(smallRun({ steps }));
  try {
    await cluster.start('coordinator');
    await cluster.start('trainer');
    await until(`a checkpoint of step ${steps}`, () => cluster.hasCheckpoint(steps));
    return await cluster.checkpoints();
  } finally {
    await cluster.close();
  }
}
