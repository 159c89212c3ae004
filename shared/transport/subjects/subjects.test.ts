import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPattern, isSubject, matches, SubscriptionIndex, type Interest } from './index.js';

describe('subjects', () => {
  it.each(['a', 'a.b', '$SYS.ACCOUNT.x', 'a*b.c', '_INBOX.x.1', 'a>'])('%s can be published to', (s) => {
    expect(isSubject(s)).toBe(true);
  });
  it.each(['', '.', 'a.', '.a', 'a..b', 'a b', 'a\tb', 'a\r\nPUB b 0', 'a\u0000', 'x'.repeat(1025)])(
    '%j is neither subject nor pattern',
    (s) => {
      expect(isSubject(s)).toBe(false);
      expect(isPattern(s)).toBe(false);
    },
  );
  it.each(['*', '>', 'a.*.c', 'a.>', '*.*'])('%s is a pattern only', (s) => {
    expect(isPattern(s)).toBe(true);
    expect(isSubject(s)).toBe(false);
  });
  it('refuses > that is not last', () => {
    expect(isPattern('a.>.b')).toBe(false);
  });
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b.c', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['*.b.>', 'a.b.c', true],
    ['*.b.>', 'a.b', false],
  ])('%s against %s: %s', (pattern, subject, expected) => {
    expect(matches(pattern, subject)).toBe(expected);
  });
});

describe('SubscriptionIndex', () => {
  const token = fc.constantFrom('a', 'b', 'c');
  const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((t) => t.join('.'));
  const pattern = fc
    .tuple(fc.array(fc.constantFrom('a', 'b', 'c', '*'), { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([t, tail]) => [...t, ...(tail ? ['>'] : [])].join('.'));
  const operation = fc.record({ pattern, queue: fc.constantFrom(undefined, 'q', 'r'), remove: fc.nat(20) });

  it('agrees with matching every pattern one by one, through additions and removals', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 30 }),
        fc.array(subject, { minLength: 1, maxLength: 8 }),
        (operations, subjects) => {
          const index = new SubscriptionIndex<Interest>();
          const alive: Interest[] = [];
          for (const { pattern, queue, remove } of operations) {
            const entry = { pattern, queue };
            index.add(entry);
            alive.push(entry);
            index.match('a.b'); // fills the cache, which a later change must invalidate
            const gone = alive[remove];
            if (gone) {
              index.delete(gone);
              alive.splice(remove, 1);
            }
          }
          expect(index.size).toBe(alive.length);
          for (const s of subjects) {
            const expected = alive.filter((e) => matches(e.pattern, s));
            const result = index.match(s);
            expect(result.plain).toEqual(expected.filter((e) => e.queue === undefined));
            for (const q of ['q', 'r'])
              expect(result.queues.get(q) ?? []).toEqual(expected.filter((e) => e.queue === q));
          }
        },
      ),
      { seed: 20260101 },
    );
  });
});
