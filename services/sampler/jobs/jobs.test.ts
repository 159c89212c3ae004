import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  frameCount,
  frameName,
  jobKeys,
  jobSpec,
  jobStatus,
  openJobId,
  parseJobId,
  parseJobRequest,
  savedSeverities,
  stateSeverity,
  testIndices,
} from './index.js';

const version = { run: 'demo', step: 7, manifestSha256: 'a'.repeat(64) };
const acceptance = { id: '0'.repeat(32), nowMs: 1000, version, steps: 8, dataset: 'mnist', testCount: 50 };

const codeOf = (body: unknown): string => {
  try {
    parseJobRequest(body);
    return 'taken';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('job requests', () => {
  it('have defaults that show something', () => {
    expect(parseJobRequest({})).toMatchObject({ mode: 'sample', count: 1, seed: 0, sampler: 'algorithm2' });
  });

  it.each([
    [null, 'THAW_JOB_INVALID'],
    ['text', 'THAW_JOB_INVALID'],
    [{ count: '4' }, 'THAW_JOB_INVALID'],
    [{ count: 1e9 }, 'THAW_JOB_INVALID'],
    [{ count: 0 }, 'THAW_JOB_INVALID'],
    [{ count: 1.5 }, 'THAW_JOB_INVALID'],
    [{ seed: -1 }, 'THAW_JOB_INVALID'],
    [{ seed: 2 ** 32 }, 'THAW_JOB_INVALID'],
    [{ sampler: 'magic' }, 'THAW_JOB_INVALID'],
    [{ unknown: 1 }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore' }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: '***' }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: 'AAAA', count: 2 }, 'THAW_JOB_INVALID'],
    [{ image: 'AAAA' }, 'THAW_JOB_INVALID'],
    [{ convert: true }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: 'AAAA', convert: 'yes' }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: 'AAAA', convert: true }, 'taken'],
    [{ channel: 'stable', version: 3 }, 'THAW_JOB_INVALID'],
    [{ framesPerSecond: 1e6 }, 'THAW_JOB_INVALID'],
    [{ deadlineMs: 'soon' }, 'THAW_JOB_INVALID'],
    [{ channel: 'nonsense' }, 'THAW_CHANNEL_UNKNOWN'],
    [{ channel: '../../etc' }, 'THAW_CHANNEL_UNKNOWN'],
    [{ mode: 'generate', severity: 3 }, 'THAW_JOB_INVALID'],
    [{ mode: 'sample', noise: 0.001 }, 'taken'],
    [{ mode: 'generate', noise: -1 }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: 'AAAA' }, 'taken'],
    [{ sampleSteps: 0 }, 'THAW_JOB_INVALID'],
    [{ sampleSteps: 3 }, 'taken'],
    [{ mode: 'restore', image: 'AAAA', sampleSteps: 3 }, 'THAW_JOB_INVALID'],
    [{ mode: 'restore', image: 'AAAA', degrade: true, sampleSteps: 3 }, 'taken'],
    [{ mode: 'generate', sampleSteps: 3 }, 'THAW_JOB_INVALID'],
    [{ freshNoise: true }, 'THAW_JOB_INVALID'],
    [{ freshNoise: true, sampler: 'algorithm1' }, 'taken'],
    [{ version: 3, run: 'demo' }, 'taken'],
  ])('%j: %s', (body, code) => expect(codeOf(body)).toBe(code));

  it('never fail with anything but a coded error', () => {
    fc.assert(
      fc.property(fc.anything(), (body) => {
        expect(codeOf(body)).toMatch(/^(taken|THAW_[A-Z_]+)$/);
      }),
    );
  });
});

describe('job specifications', () => {
  it('fix everything that decides the bits', () => {
    const spec = jobSpec(
      parseJobRequest({ count: 3, seed: 7, calls: 4, deadlineMs: 500, framesPerSecond: 10 }),
      acceptance,
    );
    expect(spec).toMatchObject({
      count: 3,
      version,
      severities: [8, 6, 4, 2],
      degrade: true,
      deadlineAtMs: 1500,
      framesPerSecond: 10,
    });
    expect(spec.test?.indices).toHaveLength(3);
  });

  it('refuse severities that the model does not have', () => {
    expect(() => jobSpec(parseJobRequest({ severity: 9 }), acceptance)).toThrow(
      expect.objectContaining({ code: 'THAW_SAMPLING_INVALID' }),
    );
    expect(() => jobSpec(parseJobRequest({ severity: 4, calls: 5 }), acceptance)).toThrow(
      expect.objectContaining({ code: 'THAW_SAMPLING_INVALID' }),
    );
    expect(jobSpec(parseJobRequest({ severity: 4 }), acceptance).severities).toEqual([4, 3, 2, 1]);
  });

  it('start at fewer severities than the image is degraded to, when asked', () => {
    const request = parseJobRequest({ sampleSteps: 4, calls: 2 });
    const spec = jobSpec(request, acceptance);
    expect(spec).toMatchObject({ severities: [4, 2], degradedTo: 8 });
    expect(jobStatus(spec, undefined, new Set(), new Map())).toMatchObject({ severity: 8, calls: 2 });
    expect(jobSpec(parseJobRequest({ sampleSteps: 8 }), acceptance)).not.toHaveProperty('degradedTo');
    expect(() => jobSpec(parseJobRequest({ sampleSteps: 6, severity: 5 }), acceptance)).toThrow(
      expect.objectContaining({ code: 'THAW_SAMPLING_INVALID' }),
    );
  });

  it('choose different test images, the same for the same seed, a prefix for a smaller count', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 50 }), (seed, count) => {
        const indices = testIndices(seed, count, 50);
        expect(new Set(indices).size).toBe(count);
        expect(indices.every((index) => index >= 0 && index < 50)).toBe(true);
        expect(testIndices(seed, 50, 50).slice(0, count)).toEqual(indices);
      }),
    );
    expect(testIndices(1, 5, 10_000)).not.toEqual(testIndices(2, 5, 10_000));
    expect(() => testIndices(1, 51, 50)).toThrow(expect.objectContaining({ code: 'THAW_JOB_INVALID' }));
  });
});

describe('names', () => {
  it('from strangers are checked before they become keys', () => {
    for (const bad of ['', '..', 'A'.repeat(32), '0'.repeat(31), `${'0'.repeat(32)}/x`])
      expect(() => parseJobId(bad)).toThrow(expect.objectContaining({ code: 'THAW_JOB_NOT_FOUND' }));
    expect(parseJobId('f'.repeat(32))).toBe('f'.repeat(32));
  });

  it('come back from keys', () => {
    const id = 'e'.repeat(32);
    expect(openJobId(jobKeys.open(id))).toBe(id);
    expect(openJobId('open-jobs/other.json')).toBeUndefined();
    expect(stateSeverity(jobKeys.state(id, 3, 17))).toBe(17);
    expect(stateSeverity(jobKeys.handoff(id, 3, 123_456))).toBe(123_456);
  });
});

describe('frames', () => {
  const spec = jobSpec(parseJobRequest({ count: 2, framesPerSecond: 5 }), acceptance);

  it('are numbered from 1 without gaps, severity by severity', () => {
    const names = Array.from({ length: frameCount(spec) }, (_, i) => frameName(spec, i + 1)!);
    expect(names).toHaveLength(18);
    expect(names.slice(0, 3).map(({ row, severity }) => [row, severity])).toEqual([
      [0, 8],
      [1, 8],
      [0, 7],
    ]);
    expect(names.at(-1)).toEqual({ sequence: 18, row: 1, severity: 0 });
    expect(frameName(spec, 0)).toBeUndefined();
    expect(frameName(spec, 19)).toBeUndefined();
  });

  it('are at most 65 of a row, and begin with the start image', () => {
    const long = jobSpec(parseJobRequest({ framesPerSecond: 5 }), { ...acceptance, steps: 1000 });
    expect(savedSeverities(long).length).toBeLessThanOrEqual(64);
    expect(savedSeverities(long)[0]).toBe(1000);
  });

  it('are not kept when nobody asked, but a long row is saved now and then', () => {
    expect(savedSeverities(jobSpec(parseJobRequest({}), acceptance))).toEqual([]);
    expect(savedSeverities(jobSpec(parseJobRequest({}), { ...acceptance, steps: 200 }))).toEqual([136, 72, 8]);
  });
});

describe('job status', () => {
  const spec = jobSpec(parseJobRequest({ count: 3, seed: 7 }), acceptance);
  it('tells what is stored, what runs and what waits', () => {
    const status = jobStatus(
      spec,
      undefined,
      new Set([0]),
      new Map([
        [0, 1],
        [2, 5],
      ]),
    );
    expect(status.state).toBe('running');
    expect(status.rows.map(({ state, severity }) => [state, severity])).toEqual([
      ['done', undefined],
      ['waiting', undefined],
      ['running', 5],
    ]);
    expect(status.rows.map(({ testIndex }) => testIndex)).toEqual(spec.test!.indices);
  });
  it('is done as soon as every image is stored, and says why a job ended', () => {
    expect(jobStatus(spec, undefined, new Set([0, 1, 2]), new Map()).state).toBe('done');
    const end = {
      format: 'thaw.job-end/1',
      state: 'failed',
      code: 'THAW_ENGINE_FAILED',
      message: 'm',
      endedMs: 1,
    } as const;
    expect(jobStatus(spec, end, new Set(), new Map())).toMatchObject({
      state: 'failed',
      code: 'THAW_ENGINE_FAILED',
      message: 'm',
    });
  });
});
