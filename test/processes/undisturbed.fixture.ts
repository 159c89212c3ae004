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

  /** One trainer alone makes the same bits up to the last step that any of the runs kept. */
  async expectSame(): Promise<void> {
    const kept = this.#disturbed.flatMap(({ what, checkpoints }) =>
      // One that was written because a trainer left lies between two regular ones.
      [...checkpoints].filter(([step]) => step % everySteps === 0).map(([step, bits]) => ({ what, step, bits })),
    );
    expect(new Set(kept.map(({ what }) => what)).size).toBe(this.#disturbed.length);
    const last = Math.max(...kept.map(({ step }) => step));
    const alone = await ProcessCluster.create(smallRun({ steps: last }));
    try {
      await alone.start('coordinator');
      await alone.start('trainer');
      await until(`a checkpoint of step ${last}`, () => alone.hasCheckpoint(last));
      const undisturbed = await alone.checkpoints();
      expect([...undisturbed.keys()]).toEqual(
        Array.from({ length: last / everySteps }, (_, i) => (i + 1) * everySteps),
      );
      expect(new Set(undisturbed.values()).size).toBe(undisturbed.size);
      expect(kept).toEqual(kept.map(({ what, step }) => ({ what, step, bits: undisturbed.get(step) })));
    } finally {
      await alone.close();
    }
  }
}
