/** Work on a sequence, some of it at the same time, results in the order of the sequence. */

/**
 * At most `parallel` items are under way. `work` must not reject. When the receiver stops early, nothing is left running:
 * what was begun is waited for.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  parallel: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const pending: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      pending.push(work(item));
      if (pending.length >= parallel) yield await pending.shift()!;
    }
    while (pending.length > 0) yield await pending.shift()!;
  } finally {
    await Promise.all(pending);
  }
}
