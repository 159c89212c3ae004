import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobSpec, SamplerEvent } from '@thaw/shared/protocol';
import {
  boardAfter,
  emptyBoard,
  emptyKeeper,
  forgetSilent,
  keeperAfter,
  keeperEffects,
  maxFailures,
  mostSilenceMs,
  offerWindow,
  openRows,
  rowKey,
  rowTaken,
  runningRows,
  type KeeperState,
} from './index.js';

const spec = (id: string, fields: Partial<JobSpec> = {}): JobSpec => ({
  format: 'thaw.job/1',
  id: id.repeat(32),
  acceptedMs: 0,
  mode: 'sample',
  count: 3,
  seed: 0,
  version: { run: 'demo', step: 1, manifestSha256: 'a'.repeat(64) },
  sampler: 'algorithm2',
  severities: [2, 1],
  degrade: true,
  ...fields,
});
const keep = (...specs: JobSpec[]): KeeperState =>
  specs.reduce(
    (state, one) => keeperAfter(state, { type: 'kept', spec: one, done: [], offersFromMs: 0, askedMs: 0 }),
    emptyKeeper,
  );
const a = spec('a');

describe('board', () => {
  it('believes a beat about its sender only, and wholly', () => {
    const beat = (sampler: string, rows: number[]): SamplerEvent => ({
      type: 'beat',
      sampler,
      rows: rows.map((row) => ({ job: a.id, row, severity: 5 })),
    });
    let board = boardAfter(emptyBoard, beat('one', [0, 1]), 0);
    board = boardAfter(board, beat('two', [2]), 0);
    expect([...runningRows(board, a.id).keys()].sort()).toEqual([0, 1, 2]);
    board = boardAfter(board, beat('one', [1]), 10);
    expect([...runningRows(board, a.id).keys()].sort()).toEqual([1, 2]);
    board = boardAfter(board, { type: 'leave', sampler: 'two' }, 20);
    expect([...runningRows(board, a.id).keys()]).toEqual([1]);
  });

  it('forgets who is silent, with the rows they had', () => {
    const board = boardAfter(
      rowTaken(emptyBoard, a.id, 0, 'gone', 3, 0),
      { type: 'beat', sampler: 'here', rows: [] },
      900,
    );
    expect(forgetSilent(board, 999, 1000).rows.size).toBe(1);
    const later = forgetSilent(board, 1000, 1000);
    expect([later.rows.size, [...later.samplers.keys()]]).toEqual([0, ['here']]);
  });

  it('frees a row that was stored or failed, and all rows of a job that ended', () => {
    const board = [0, 1, 2].reduce((so, row) => rowTaken(so, a.id, row, 'one', 3, 0), emptyBoard);
    const event = { sampler: 'one', job: a.id } as const;
    expect(boardAfter(board, { ...event, type: 'stored', row: 0, severity: 0 }, 1).rows.has(rowKey(a.id, 0))).toBe(
      false,
    );
    expect(boardAfter(board, { ...event, type: 'stored', row: 0, severity: 2 }, 1).rows.has(rowKey(a.id, 0))).toBe(
      true,
    );
    expect(boardAfter(board, { ...event, type: 'ended' }, 1).rows.size).toBe(0);
  });
});

describe('keeper', () => {
  it('offers every open row once, the most urgent job first', () => {
    const urgent = spec('b', { deadlineAtMs: 10, count: 1 });
    const effects = keeperEffects(keep(a, urgent), emptyBoard, 0, 0);
    expect(effects.map((effect) => effect.type === 'offer' && [effect.spec.id[0], effect.row])).toEqual([
      ['b', 0],
      ['a', 0],
      ['a', 1],
      ['a', 2],
    ]);
  });

  it('does not offer rows that are offered, held or done', () => {
    let state = keep(a);
    state = keeperAfter(state, { type: 'offering', job: a.id, row: 0 });
    state = keeperAfter(state, { type: 'row-done', job: a.id, row: 1 });
    const board = rowTaken(emptyBoard, a.id, 2, 'one', 2, 0);
    expect(keeperEffects(state, board, 0, 0)).toEqual([]);
    // The holder falls silent: its row is free again.
    expect(keeperEffects(state, forgetSilent(board, 5000, 1000), 5000, 0)).toMatchObject([{ type: 'offer', row: 2 }]);
  });

  it('pauses after a busy answer, and listens before it offers rows of a job it took over', () => {
    let state = keeperAfter(keep(a), { type: 'answered', job: a.id, row: 0, busyUntilMs: 100 });
    expect(keeperEffects(state, emptyBoard, 99, 0)).toEqual([]);
    expect(keeperEffects(state, emptyBoard, 100, 0)).toHaveLength(3);
    state = keeperAfter(emptyKeeper, { type: 'kept', spec: a, done: [1], offersFromMs: 500, askedMs: 0 });
    expect(keeperEffects(state, emptyBoard, 499, 0)).toEqual([]);
    expect(keeperEffects(state, emptyBoard, 500, 0)).toHaveLength(2);
  });

  it('ends a job once: done, expired, or failed too often', () => {
    let state = keep(a);
    for (const row of [0, 1, 2]) state = keeperAfter(state, { type: 'row-done', job: a.id, row });
    expect(keeperEffects(state, emptyBoard, 0, 0)).toEqual([{ type: 'end', job: a.id, state: 'done' }]);
    state = keeperAfter(state, { type: 'ending', job: a.id });
    expect(keeperEffects(state, emptyBoard, 0, 0)).toEqual([]);
    expect(openRows(state)).toBe(0);
    state = keeperAfter(state, { type: 'end-failed', job: a.id });
    expect(keeperEffects(state, emptyBoard, 0, 0)).toHaveLength(1);

    const brief = spec('c', { deadlineAtMs: 50 });
    expect(keeperEffects(keep(brief), emptyBoard, 0, 50)).toMatchObject([
      { type: 'end', state: 'expired', code: 'THAW_DEADLINE_EXPIRED' },
    ]);

    let failing = keep(a);
    for (let i = 0; i < maxFailures; i++)
      failing = keeperAfter(failing, {
        type: 'row-failed',
        sampler: 's',
        job: a.id,
        row: 0,
        code: 'THAW_X',
        message: 'm',
      });
    expect(keeperEffects(failing, emptyBoard, 0, 0)).toEqual([
      { type: 'end', job: a.id, state: 'failed', code: 'THAW_X', message: 'm' },
    ]);
  });

  describe('with blocks of evaluations', () => {
    const evaluation = { dataset: 'fake', split: 'test', first: 0, fingerprint: 'f'.repeat(64) };
    const block = spec('e', { mode: 'evaluate', count: 40, deadlineAtMs: 5, evaluation });
    const offered = (effects: ReturnType<typeof keeperEffects>): string =>
      effects.map((effect) => (effect.type === 'offer' ? effect.spec.id[0] : effect.state)).join('');

    it('offers their rows behind those of users, with a window of their own', () => {
      const many = spec('a', { count: 40 });
      const state = keep(block, many);
      const first = keeperEffects(state, emptyBoard, 0, 0);
      expect(offered(first)).toBe('a'.repeat(offerWindow) + 'e'.repeat(offerWindow));
      // All offers of the evaluation are under way: the user's go on.
      const busy = first.reduce(
        (so, effect) =>
          effect.type === 'offer' && effect.spec === block
            ? keeperAfter(so, { type: 'offering', job: block.id, row: effect.row })
            : so,
        state,
      );
      expect(offered(keeperEffects(busy, emptyBoard, 0, 0))).toBe('a'.repeat(offerWindow));
      expect([openRows(state), openRows(state, 'evaluations')]).toEqual([40, 40]);
    });

    it('makes no user wait because samplers hold enough rows of evaluations, and the other way round', () => {
      const answered = (job: string, busyUntilMs: number) => ({ type: 'answered', job, row: 0, busyUntilMs }) as const;
      const state = keeperAfter(keep(block, a), answered(block.id, 100));
      expect(offered(keeperEffects(state, emptyBoard, 99, 0))).toBe('aaa');
      expect(offered(keeperEffects(keeperAfter(state, answered(a.id, 200)), emptyBoard, 100, 0))).toBe(
        'e'.repeat(offerWindow),
      );
    });

    it('leaves one open that is whole, until it is taken away or its time is over', () => {
      const small = spec('e', { mode: 'evaluate', count: 1, deadlineAtMs: 50, evaluation });
      let state = keep(small);
      for (let i = 0; i < maxFailures; i++)
        state = keeperAfter(state, {
          type: 'row-failed',
          sampler: 's',
          job: small.id,
          row: 0,
          code: 'THAW_X',
          message: 'm',
        });
      expect(offered(keeperEffects(state, emptyBoard, 0, 0))).toBe('failed');
      state = keeperAfter(state, { type: 'row-done', job: small.id, row: 0 });
      expect(keeperEffects(state, emptyBoard, 0, 49)).toEqual([]);
      expect(keeperEffects(state, emptyBoard, 0, 50)).toMatchObject([
        { type: 'end', state: 'expired', message: 'Nobody took the estimates away in time.' },
      ]);
    });

    it('offers rows to others while some sampler may compute the right bits, and ends when none is left', () => {
      const heard = (...samplers: string[]) =>
        samplers.reduce((board, sampler) => boardAfter(board, { type: 'beat', sampler, rows: [] }, 0), emptyBoard);
      const failure = { row: 0, code: 'THAW_FINGERPRINT_MISMATCH', message: 'other bits' };
      let state = keep(block);
      for (let row = 0; row <= maxFailures; row++)
        state = keeperAfter(state, { type: 'row-failed', sampler: 'odd', job: block.id, ...failure, row });
      expect(offered(keeperEffects(state, heard('odd', 'fit'), 0, 0))).toBe('e'.repeat(offerWindow));
      state = keeperAfter(state, { type: 'answered', job: block.id, row: 1, unfit: 'other' });
      expect(offered(keeperEffects(state, heard('odd', 'fit', 'other'), 0, 0))).toBe('e'.repeat(offerWindow));
      expect(keeperEffects(state, heard('odd', 'other'), 0, 0)).toEqual([
        {
          ...{ type: 'end', job: block.id, state: 'failed', code: failure.code },
          message:
            'No sampler that is heard would compute the bits of this evaluation, whose fingerprint is ffffffffffff: odd, other.',
        },
      ]);
    });

    it('gives one up, whole or not, for which nobody has asked for ten minutes', () => {
      const patient = spec('e', { mode: 'evaluate', count: 1, evaluation });
      const whole = keeperAfter(keep(patient), { type: 'row-done', job: patient.id, row: 0 });
      for (const state of [keep(patient), whole]) {
        const asked = keeperAfter(state, { type: 'asked', job: patient.id, askedMs: 5000 });
        expect(offered(keeperEffects(asked, emptyBoard, mostSilenceMs + 4999, 0))).not.toContain('expired');
        expect(keeperEffects(asked, emptyBoard, mostSilenceMs + 5000, 0)).toMatchObject([
          { type: 'end', state: 'expired', message: 'Nobody has asked for the estimates for 10 minutes.' },
        ]);
      }
      expect(offered(keeperEffects(keep(a), emptyBoard, 100 * mostSilenceMs, 0))).toBe('aaa'); // a user's job has no such limit
    });
  });

  it('never has more offers under way than its window, and always finishes what somebody computes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.infiniteStream(fc.nat(9)),
        (counts, luck) => {
          const names = 'abcde';
          let state = keep(...counts.map((count, i) => spec(names[i]!, { count })));
          const ended: string[] = [];
          for (let turn = 0; turn < 2000 && state.jobs.size > 0; turn++) {
            const effects = keeperEffects(state, emptyBoard, turn, 0);
            expect(effects.filter(({ type }) => type === 'offer').length).toBeLessThanOrEqual(offerWindow);
            for (const effect of effects) {
              if (effect.type === 'end') {
                expect(effect.state).toBe('done');
                ended.push(effect.job);
                state = keeperAfter(state, { type: 'dropped', job: effect.job });
                continue;
              }
              const row = { job: effect.spec.id, row: effect.row };
              state = keeperAfter(state, { type: 'offering', ...row });
              const fate = luck.next().value as number;
              state = keeperAfter(state, { type: 'answered', ...row, busyUntilMs: fate === 0 ? turn + 2 : undefined });
              if (fate > 1) state = keeperAfter(state, { type: 'row-done', ...row }); // 1: lost without a word
            }
          }
          expect(ended).toHaveLength(counts.length);
        },
      ),
      { numRuns: 30 },
    );
  });
});
