/** The state of a link and whoever wants to hear of changes. */
import type { LinkStatus, StopListening } from '../links.js';

export class StatusListeners {
  #status: LinkStatus = 'connected';
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  get current(): LinkStatus {
    return this.#status;
  }

  get isUp(): boolean {
    return this.#status === 'connected' || this.#status === 'reconnected';
  }

  /** Tells everybody, once; nothing follows `closed`. */
  change(status: LinkStatus): void {
    if (status === this.#status || this.#status === 'closed') return;
    this.#status = status;
    for (const listener of [...this.#listeners])
      try {
        listener(status);
      } catch (error) {
        this.#onError(error);
      }
  }

  add(listener: (status: LinkStatus) => void): StopListening {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
