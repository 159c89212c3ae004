import { expect, test } from 'vitest';
import { FollowedStatus, type LeaderStatus } from './followed-status.js';
import { RunView } from './run-view.js';

const facts = { run: 'trial', steps: 100, laneCount: 4, globalBatch: 16, stepsPerEpoch: 10 };
const told = (leader: string, epoch: number): LeaderStatus => ({
  leader,
  epoch,
  status: { ...new RunView(facts, []).status([], 0), state: 'running', leader },
});

test('the status is what the leader said last, for the time to live', () => {
  const followed = new FollowedStatus(3000);
  expect(followed.at(0)).toBeUndefined();
  followed.heard(told('c-1', 1), 1000);
  expect(followed.at(4000)).toMatchObject({ state: 'running', leader: 'c-1' });
  expect(followed.at(4001)).toBeUndefined();
});

test('a leader that was replaced is not believed while its successor is heard, whatever number that one has', () => {
  const followed = new FollowedStatus(3000);
  followed.heard(told('c-2', 2), 0);
  followed.heard(told('c-1', 1), 1000);
  expect(followed.at(1000)?.leader).toBe('c-2');
  followed.heard(told('stranger-1', 999), 1000);
  followed.heard(told('c-2', 2), 4001);
  expect(followed.at(4001)?.leader).toBe('c-2');
});
