/** The compiled network of one version: opened when it is needed, closed when it was given up and nobody holds it any more. */
import type { Compiled, FixedPrograms } from '@thaw/shared/engine';

export class VersionNetwork {
  readonly #make: () => Promise<FixedPrograms>;
  #opened: Promise<FixedPrograms> | undefined;
  #holders = 0;
  #givenUp = false;

  /** @param make compiles the network; called again if it is used after it was closed */
  constructor(make: () => Promise<FixedPrograms>) {
    this.#make = make;
  }

  /** Keeps it open until the returned function is called. */
  hold(): () => void {
    this.#holders += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders -= 1;
      this.#closeIfIdle();
    };
  }

  /** Runs `work` on the programs, in the order of the run's batch sizes. */
  async use<T>(work: (programs: readonly Compiled[]) => Promise<T>): Promise<T> {
    const release = this.hold();
    try {
      this.#opened ??= this.#open();
      return await work((await this.#opened).programs);
    } finally {
      release();
    }
  }

  /** Closes it now, or when its last holder lets go; later uses open it for as long as they last. */
  giveUp(): void {
    this.#givenUp = true;
    this.#closeIfIdle();
  }

  /** Closes it whoever holds it: the process ends. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await (await opened?.catch(() => undefined))?.close();
  }

  #open(): Promise<FixedPrograms> {
    const opened = this.#make();
    opened.catch(() => this.#opened === opened && (this.#opened = undefined));
    return opened;
  }

  #closeIfIdle(): void {
    if (this.#givenUp && this.#holders === 0) void this.close();
  }
}
