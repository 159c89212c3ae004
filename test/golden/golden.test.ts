/** Every golden vector is either computed and compared at its tolerance, or listed in pending.json with the reason. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openEagerBackend } from './eager-backend.js';
import { runners } from './runners/index.js';
import { disagreement, goldenCases } from './vectors.js';

const pending = JSON.parse(readFileSync(new URL('./pending.json', import.meta.url), 'utf8')) as Record<string, string>;
const cases = goldenCases();
const runnerOf = (id: string) => runners.find((runner) => runner.covers.test(id));

beforeAll(openEagerBackend);

describe('coverage', () => {
  it('covered and pending cases are all cases, and none is both', () => {
    const covered = cases.map(({ id }) => id).filter((id) => runnerOf(id) !== undefined);
    expect([...covered, ...Object.keys(pending)].sort()).toEqual(cases.map(({ id }) => id).sort());
  });

  it('every runner covers at least one case, every pending case has a reason', () => {
    for (const runner of runners) expect(cases.filter(({ id }) => runner.covers.test(id)).length).toBeGreaterThan(0);
    for (const reason of Object.values(pending)) expect(reason.length).toBeGreaterThan(10);
  });

  it('a wrong value, a missing value and NaN are seen', () => {
    const want = { shape: [3], data: Float32Array.of(1, 2, 4) };
    expect(disagreement([1, 2, 4], want, { abs: 1e-6 })).toBeUndefined();
    expect(disagreement([1, 2, 4.1], want, { abs: 1e-6 })).toContain('1 of 3');
    expect(disagreement([1, 2, NaN], want, { abs: 1e-6, mismatch_fraction: 1, mismatch_abs: 1 })).toContain('NaN');
    expect(disagreement([1, 2], want, { abs: 1 })).toContain('2 values instead of 3');
    expect(disagreement([1, 2, 4.003], want, { rel_to_max: 0.001 })).toBeUndefined();
    expect(disagreement([1.005, 2, 4], want, { rel_to_max: 0.001 })).toContain('1 of 3');
    expect(disagreement([1, 2, 4.5], want, { abs: 1e-6, mismatch_fraction: 0.4, mismatch_abs: 1 })).toBeUndefined();
    expect(disagreement([1, 2, 5.5], want, { abs: 1e-6, mismatch_fraction: 0.4, mismatch_abs: 1 })).toContain('1 of 3');
  });
});

describe('golden vectors', () => {
  for (const golden of cases) {
    const runner = runnerOf(golden.id);
    if (runner === undefined) {
      it.skip(`${golden.id}: ${pending[golden.id] ?? 'neither covered nor pending'}`, () => {});
      continue;
    }
    it(golden.id, async () => {
      const got = await runner.run(golden);
      const problems: string[] = [];
      let compared = 0;
      for (const [name, { tensor, tolerance }] of golden.wanted()) {
        if (runner.omits !== undefined && name in runner.omits) continue;
        const values = got[name];
        const problem = values === undefined ? 'not computed' : disagreement(values, tensor, tolerance);
        if (problem !== undefined) problems.push(`${name}: ${problem}`);
        compared++;
      }
      expect(problems).toEqual([]);
      expect(compared).toBeGreaterThan(0);
    });
  }
});
