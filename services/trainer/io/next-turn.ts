/** Resolves in the event loop's next turn: timers, messages and heartbeats go first. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
