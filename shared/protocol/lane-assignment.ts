/** Who computes which lanes after a change of membership. Pure and stable. */
import type { PlanMember } from './plan.js';

/**
 * Lanes of the members `ids`, given who had them before.
 *
 * - Members that stay keep their lanes when others only die or leave: orphans go to whoever has fewest (rule 3, promise P3).
 * - A newcomer takes lanes, one at a time, from whoever has most, until it is within one of the others.
 * - Never more members than lanes: surplus newcomers (last by order of `ids`) are left out.
 * @param ids whoever should be a member, staying ones and newcomers; each once, not empty.
 */
export function assignLanes(laneCount: number, previous: readonly PlanMember[], ids: readonly string[]): PlanMember[] {
  const wanted = new Set(ids);
  const staying = previous.filter((member) => wanted.has(member.id));
  const stayingIds = new Set(staying.map((member) => member.id));
  const newcomers = ids.filter((id) => !stayingIds.has(id)).slice(0, Math.max(0, laneCount - staying.length));
  const lanes = new Map<string, number[]>();
  for (const member of staying) lanes.set(member.id, [...member.lanes]);
  for (const id of newcomers) lanes.set(id, []);
  if (lanes.size === 0) return [];

  const held = new Uint8Array(laneCount);
  for (const list of lanes.values()) for (const lane of list) held[lane] = 1;
  for (let lane = 0; lane < laneCount; lane++) if (!held[lane]) lanes.get(extreme(lanes, -1))!.push(lane);
  for (const id of newcomers) {
    const own = lanes.get(id)!;
    for (;;) {
      const giver = lanes.get(extreme(lanes, 1))!;
      if (giver.length <= own.length + 1) break;
      giver.sort((a, b) => a - b);
      own.push(giver.pop()!);
    }
  }
  return [...lanes]
    .map(([id, list]) => ({ id, lanes: list.sort((a, b) => a - b) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Id with most (sign 1) or fewest (sign -1) lanes; the smallest id among equals. */
function extreme(lanes: ReadonlyMap<string, readonly number[]>, sign: 1 | -1): string {
  let best = '';
  let bestCount = -Infinity;
  for (const [id, list] of lanes) {
    const count = sign * list.length;
    if (count > bestCount || (count === bestCount && id < best)) {
      best = id;
      bestCount = count;
    }
  }
  return best;
}
