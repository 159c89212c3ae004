/** Which subscriptions a subject reaches: exact subjects in a map, patterns in a trie, results cached until a change. */
import { hasWildcard } from './subject.js';

export interface Interest {
  readonly pattern: string;
  /** Queue group, if any. */
  readonly queue?: string | undefined;
}

/** Everything that matches one subject, in order of subscription. */
export interface MatchResult<T extends Interest> {
  readonly plain: readonly T[];
  /** Members of each queue group; one of each gets the message. */
  readonly queues: ReadonlyMap<string, readonly T[]>;
}

interface TrieNode<T> {
  readonly children: Map<string, TrieNode<T>>;
  readonly entries: Set<T>;
}

const newNode = <T>(): TrieNode<T> => ({ children: new Map(), entries: new Set() });
const maxCachedSubjects = 4096;

export class SubscriptionIndex<T extends Interest> {
  readonly #exact = new Map<string, Set<T>>();
  readonly #root: TrieNode<T> = newNode();
  readonly #order = new Map<T, number>();
  readonly #cache = new Map<string, MatchResult<T>>();
  #next = 0;

  get size(): number {
    return this.#order.size;
  }

  /** Adding the same object twice changes nothing. */
  add(entry: T): void {
    if (this.#order.has(entry)) return;
    this.#order.set(entry, this.#next++);
    this.#cache.clear();
    if (!hasWildcard(entry.pattern)) {
      const set = this.#exact.get(entry.pattern);
      if (set) set.add(entry);
      else this.#exact.set(entry.pattern, new Set([entry]));
      return;
    }
    let node = this.#root;
    for (const token of entry.pattern.split('.')) {
      let child = node.children.get(token);
      if (!child) node.children.set(token, (child = newNode()));
      node = child;
    }
    node.entries.add(entry);
  }

  delete(entry: T): void {
    if (!this.#order.delete(entry)) return;
    this.#cache.clear();
    if (!hasWildcard(entry.pattern)) {
      const set = this.#exact.get(entry.pattern);
      set?.delete(entry);
      if (set?.size === 0) this.#exact.delete(entry.pattern);
      return;
    }
    this.#prune(this.#root, entry.pattern.split('.'), 0, entry);
  }

  match(subject: string): MatchResult<T> {
    const cached = this.#cache.get(subject);
    if (cached) return cached;
    const found = [...(this.#exact.get(subject) ?? [])];
    if (this.#root.children.size > 0) collect(this.#root, subject.split('.'), 0, found);
    found.sort((a, b) => this.#order.get(a)! - this.#order.get(b)!);
    const plain: T[] = [];
    const queues = new Map<string, T[]>();
    for (const entry of found) {
      if (entry.queue === undefined) plain.push(entry);
      else if (queues.has(entry.queue)) queues.get(entry.queue)!.push(entry);
      else queues.set(entry.queue, [entry]);
    }
    if (this.#cache.size >= maxCachedSubjects) this.#cache.clear();
    const result = { plain, queues };
    this.#cache.set(subject, result);
    return result;
  }

  /** Removes the entry and every branch left empty; returns whether `node` may go. */
  #prune(node: TrieNode<T>, tokens: readonly string[], depth: number, entry: T): boolean {
    if (depth === tokens.length) node.entries.delete(entry);
    else {
      const token = tokens[depth]!;
      const child = node.children.get(token);
      if (child && this.#prune(child, tokens, depth + 1, entry)) node.children.delete(token);
    }
    return node.entries.size === 0 && node.children.size === 0;
  }
}

function collect<T>(node: TrieNode<T>, tokens: readonly string[], depth: number, found: T[]): void {
  if (depth === tokens.length) {
    found.push(...node.entries);
    return;
  }
  const rest = node.children.get('>');
  if (rest) found.push(...rest.entries);
  const any = node.children.get('*');
  if (any) collect(any, tokens, depth + 1, found);
  const token = tokens[depth]!;
  // A published token that is literally `*` or `>` must not be taken for the wildcard's branch.
  if (token === '*' || token === '>') return;
  const exact = node.children.get(token);
  if (exact) collect(exact, tokens, depth + 1, found);
}
