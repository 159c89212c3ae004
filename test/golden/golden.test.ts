/** Every golden vector is computed and compared at its tolerance. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkCase, checkFolder, runnerOf } from './check.js';
import { openEagerBackend } from './eager-backend.js';
import { runners } from './runners/index.js';
import { compare, disagreement, goldenCases, ownFolder } from './vectors.js';

const cases = goldenCases();

beforeAll(openEagerBackend);

describe('coverage', () => {
  it('every case has a runner, and every runner a case', () => {
    expect(cases.filter(({ id }) => runnerOf(id) === undefined).map(({ id }) => id)).toEqual([]);
    for (const runner of runners) expect(cases.filter(({ id }) => runner.covers.test(id)).length).toBeGreaterThan(0);
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
  it.each(cases.map((golden) => [golden.id, golden] as const))('%s', async (_, golden) => {
    const { problems, compared } = await checkCase(golden);
    expect(problems).toEqual([]);
    expect(compared).toBeGreaterThan(0);
  });
});

describe('another folder of vectors', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'thaw-golden-'));
    for (const file of ['decolor.safetensors', 'mixing.safetensors']) cpSync(join(ownFolder, file), join(folder, file));
    const own = JSON.parse(readFileSync(join(ownFolder, 'index.json'), 'utf8')) as { cases: { id: string }[] };
    const [good, other] = ['decolor/Linear_4', 'decolor/Linear_2'].map((id) => own.cases.find((c) => c.id === id)!);
    const wrong = {
      ...other,
      id: 'decolor/Linear_9',
      params: { ...(other as { params?: object }).params, decolor_routine: 'Constant' },
    };
    const cut = { ...good, id: 'decolor/Cut_0', inputs: {} };
    const noFile = { ...good, id: 'decolor/Lost_0', file: 'absent.safetensors' };
    const bare = { id: 'decolor/Bare_0', file: 'decolor.safetensors' };
    const cases = [good, wrong, cut, { ...good, id: 'fourier/Rings_0' }, noFile, bare, { file: 'x' }, 7];
    writeFileSync(join(folder, 'index.json'), JSON.stringify({ cases }));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is summed up: passed, failed and unknown cases, and the worst deviation', async () => {
    const seen: string[] = [];
    const summary = await checkFolder(folder, (line) => seen.push(line));
    expect(summary).toMatchObject({
      passed: 1,
      failed: ['decolor/Linear_9', 'decolor/Cut_0', 'decolor/Lost_0', 'decolor/Bare_0', '#6', '#7'],
      unknown: ['fourier/Rings_0'],
      worst: { id: 'decolor/Linear_9' },
    });
    expect(summary.worst!.error).toBeGreaterThan(summary.worst!.tolerance);
    expect(seen.join('\n')).toContain('fourier/Rings_0: unknown');
    expect(seen.join('\n')).toContain('decolor/Bare_0: cannot be tried: its inputs are no entries');
    expect(seen.join('\n')).toContain('#6: cannot be tried: it has no id');
    expect(seen.join('\n')).toContain('decolor/Cut_0: case decolor/Cut_0 has no input x0');
    expect(seen.slice(-4).map((line) => line.split(',')[0])).toEqual([
      'family decolor: 1 of 5 passed',
      'family fourier: 0 of 1 passed',
      'family #6: 0 of 1 passed',
      'family #7: 0 of 1 passed',
    ]);
  });

  it('whose index is none is refused with a sentence', () => {
    const empty = mkdtempSync(join(tmpdir(), 'thaw-golden-'));
    expect(() => goldenCases(empty)).toThrow('index.json cannot be read');
    for (const [text, words] of [
      ['{"cases": {}}', 'has no list "cases"'],
      ['[1', 'cannot be read'],
    ] as const) {
      writeFileSync(join(empty, 'index.json'), text);
      expect(() => goldenCases(empty)).toThrow(words);
    }
    rmSync(empty, { recursive: true });
  });

  it('the deviation closest to its limit is the one reported', () => {
    const want = { shape: [3], data: Float32Array.of(1, 100, 4) };
    expect(compare([1, 100.5, 4.04], want, { abs: 0.05, rel: 0.01 })).toMatchObject({ error: expect.closeTo(0.5, 5) });
    expect(compare([1, 100, 4], want, { abs: 1e-6 })).toEqual({ error: 0, tolerance: 1e-6 });
  });
});
