import { describe, expect, it } from 'vitest';
import type { StepOutput } from '../ports.js';
import {
  advance,
  beginTrajectory,
  isFinished,
  resumeTrajectory,
  severityOf,
  stepRow,
  type Trajectory,
} from './index.js';

const out = (estimate: number, degraded: number, improved: number): StepOutput => ({
  estimate: Float32Array.of(estimate),
  degraded: Float32Array.of(degraded),
  improved: Float32Array.of(improved),
});
const start = Float32Array.of(0.5);

describe('trajectory', () => {
  it('goes through all severities by Algorithm 2 and keeps the direct restoration', () => {
    let at: Trajectory = beginTrajectory('algorithm2', [3, 2, 1], start, {});
    const seen: number[][] = [];
    for (let k = 1; !isFinished(at); k++) {
      const row = stepRow(at);
      seen.push([row.severity, row.nextSeverity, row.x[0]!]);
      at = advance(at, out(10 * k, -1, k));
    }
    expect(seen).toEqual([
      [3, 2, 0.5],
      [2, 1, 1],
      [1, 0, 2],
    ]);
    expect(at.x[0]).toBe(3);
    expect(at.direct![0]).toBe(10);
    expect(severityOf(at)).toBe(0);
  });

  it('ends Algorithm 1 with the estimate and degrades it before', () => {
    let at = beginTrajectory('algorithm1', [2, 1], start, {});
    at = advance(at, out(7, 6, -1));
    expect(at.x[0]).toBe(6);
    at = advance(at, out(9, 8, -1));
    expect(at.x[0]).toBe(9);
    expect(isFinished(at)).toBe(true);
  });

  it('mixes every state of Algorithm 1 with something new where that is asked for', () => {
    const redraw = (severity: number) => ({ partner: Float32Array.of(100 + severity) });
    const of = (at: Trajectory): number | undefined => stepRow(at).context.partner?.[0];
    const context = { partner: Float32Array.of(7) };
    let at = beginTrajectory('algorithm1', [3, 2, 1], start, context, redraw);
    const seen: (number | undefined)[] = [];
    for (; !isFinished(at); at = advance(at, out(1, 2, 3))) seen.push(of(at));
    expect(seen).toEqual([102, 101, 7]);
    const saved = { severity: 2, x: start, direct: start };
    expect(of(resumeTrajectory('algorithm1', [3, 2, 1], saved, context, redraw)!)).toBe(101);
    // The other algorithms know what was mixed in.
    expect(of(beginTrajectory('algorithm2', [3, 2, 1], start, context, redraw))).toBe(7);
    expect(of(beginTrajectory('algorithm1', [3, 2, 1], start, context))).toBe(7);
  });

  it('is one call when direct', () => {
    const at = advance(beginTrajectory('direct', [4], start, {}), out(7, 6, 5));
    expect([isFinished(at), at.x[0], at.direct![0]]).toEqual([true, 7, 7]);
  });

  it('skips severities that the plan leaves out', () => {
    const at = beginTrajectory('algorithm2', [6, 3], start, {});
    expect(stepRow(at)).toMatchObject({ severity: 6, nextSeverity: 3 });
    expect(stepRow(advance(at, out(1, 1, 1)))).toMatchObject({ severity: 3, nextSeverity: 0 });
  });

  it('goes on from a saved state as if it had never stopped', () => {
    const first = advance(beginTrajectory('algorithm2', [3, 2, 1], start, {}), out(10, 0, 1));
    const saved = { severity: severityOf(first), x: first.x, direct: first.direct! };
    expect(resumeTrajectory('algorithm2', [3, 2, 1], saved, {})).toEqual(first);
    expect(resumeTrajectory('algorithm2', [3, 1], saved, {})).toBeUndefined();
  });

  it('does not change the arrays it is given', () => {
    const x = Float32Array.of(1);
    advance(beginTrajectory('algorithm2', [1], x, {}), out(2, 3, 4));
    expect(x[0]).toBe(1);
  });
});
