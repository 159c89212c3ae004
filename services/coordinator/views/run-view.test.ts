import { expect, test } from 'vitest';
import { RunView } from './run-view.js';

const facts = { run: 'trial', steps: 100, laneCount: 4, globalBatch: 16, stepsPerEpoch: 10 };

test('speed and time left come from the arrival of steps', () => {
  const view = new RunView(facts, []);
  for (let step = 0; step <= 20; step++) view.stepKnown(step, 1 - step / 100, false, step * 500);
  const status = view.status([], 10_000);
  expect(status.imagesPerSecond).toBeCloseTo(32);
  expect(status.etaSeconds).toBeCloseTo(((100 - 21) * 16) / 32);
  expect(status).toMatchObject({ step: 21, epoch: 2, state: 'standby' });
  expect(view.status([], 60_000).imagesPerSecond).toBe(0);
});

test('a step is counted once; skipped steps have no loss', () => {
  const view = new RunView(facts, [{ step: 0, loss: 0.5, imagesPerSecond: null }]);
  expect(view.stepKnown(0, 0.5, false, 1)).toBeUndefined();
  expect(view.stepKnown(1, NaN, true, 2)).toMatchObject({ step: 1, loss: null });
  view.stepKnown(2, 0.3, false, 3);
  expect(view.status([], 3)).toMatchObject({ step: 3, skippedSteps: 1, lossFirst: 0.4, lossLast: 0.4 });
});

test('states: waiting without lanes, running with them, finished for good', () => {
  const view = new RunView(facts, []);
  view.leads(true);
  expect(view.status([], 0).state).toBe('waiting');
  const trainer = { id: 'a-1', standing: 'member', step: 3, lanes: [0, 1], laneMs: 100, lastSeenMs: 0 } as const;
  const running = view.status([trainer], 0);
  expect(running).toMatchObject({
    state: 'running',
    trainers: [{ id: 'a-1', lanes: [0, 1], step: 3, imagesPerSecond: 40 }],
  });
  view.ended('finished', 'all steps are done');
  expect(view.status([trainer], 0).state).toBe('finished');
});
