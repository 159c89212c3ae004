/**
 * Thousands of seeded schedules of the whole cluster. `THAW_SIM_SCHEDULES=20000` runs more of them, `THAW_SIM_SEED=<seed>` replays one.
 */
import { describe, expect, it } from 'vitest';
import { runSchedule, type Sight } from './cluster.js';
import { scenarios } from './toy-model.js';

const quota = Number(process.env['THAW_SIM_SCHEDULES'] ?? 3000);
const replay = process.env['THAW_SIM_SEED'];

describe('the cluster under seeded faults', () => {
  it('keeps one history and comes to the end', () => {
    const seeds = replay === undefined ? Array.from({ length: quota }, (_, i) => 1000 + i) : [Number(replay)];
    const failures: string[] = [];
    let generations = 0;
    let manifests = 0;
    const seen = new Map<string, number>();
    for (const seed of seeds) {
      const outcome = runSchedule(seed);
      generations += outcome.generations;
      manifests += outcome.manifests;
      for (const [sight, count] of Object.entries(outcome.seen))
        if (count > 0) seen.set(sight, (seen.get(sight) ?? 0) + 1);
      if (outcome.violation === undefined) continue;
      failures.push(`THAW_SIM_SEED=${seed} npx vitest run --project simulation   # ${outcome.violation}`);
      if (failures.length >= 5) break;
    }
    expect(failures.join('\n')).toBe('');
    if (replay !== undefined) return;
    // The schedules did what they are for.
    expect(generations / seeds.length).toBeGreaterThan(2);
    expect(manifests / seeds.length).toBeGreaterThan(1);
    const sights: readonly Sight[] = ['raise', 'skip', 'snapshot', 'checkpointLoaded', 'lateResult', 'takeover'];
    for (const sight of sights)
      expect(seen.get(sight) ?? 0, `schedules with a ${sight}`).toBeGreaterThan(seeds.length / 50);
  });

  it('moves lanes away from a slow trainer, a few times at most, and comes to the same end', () => {
    const quiet = { coordinatorKills: 0, kills: 0, joins: 0, leaves: 0, stops: 0, coordinatorStops: 0 };
    const faults = { ...quiet, falseNotices: 0, brokerLosses: 0, lossRate: 0, firstTrainers: 3, firstSlowness: 10 };
    const scenario = { ...scenarios[4]!, name: 'six lanes, many steps', steps: 40, checkpointEverySteps: 20 };
    for (let seed = 1; seed <= 6; seed++) {
      const { violation, seen } = runSchedule(seed, { scenario, faults });
      expect(violation, `seed ${seed}`).toBeUndefined();
      expect(seen.balanced, `seed ${seed}`).toBeGreaterThan(0);
      expect(seen.balanced, `seed ${seed}`).toBeLessThan(4);
    }
  });
});
