/**
 * Thousands of seeded schedules of the whole cluster. `THAW_SIM_SCHEDULES=20000` runs more of them, `THAW_SIM_SEED=<seed>` replays one.
 */
import { describe, expect, it } from 'vitest';
import { runSchedule, type Sight } from './cluster.js';

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
});
