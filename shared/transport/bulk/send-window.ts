/** Counts what waits to be sent, and whom to wake when it is little enough. Pure. */
export class SendWindow {
  readonly #windowBytes: number;
  #pendingBytes = 0;
  #waiters: (() => void)[] = [];

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  add(bytes: number): void {
    this.#pendingBytes += bytes;
  }

  /** `bytes` have left, or never will. */
  settle(bytes: number): void {
    this.#pendingBytes -= bytes;
    if (this.#pendingBytes > this.#windowBytes) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Everything pending is given up: the link has closed. */
  clear(): void {
    this.settle(this.#pendingBytes);
  }

  drained(): Promise<void> {
    if (this.#pendingBytes <= this.#windowBytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}
