import { lanesOf, type Plan } from '@thaw/shared/protocol';

/** Who came, who went and, if nobody did, whose lanes moved: for logs and the page. */
export function difference(before: Plan, after: Plan): string {
  const old = new Set(before.members.map(({ id }) => id));
  const now = new Set(after.members.map(({ id }) => id));
  const came = [...now].filter((id) => !old.has(id));
  const went = [...old].filter((id) => !now.has(id));
  const moved = after.members.filter(({ id, lanes }) => old.has(id) && lanes.join() !== lanesOf(before, id).join());
  const changes = [...came.map((id) => `${id} joins`), ...went.map((id) => `${id} is gone`)];
  if (changes.length > 0) return changes.join(', ');
  return `lanes by speed: ${moved.map(({ id, lanes }) => `${id} has ${lanes.length}`).join(', ')}`;
}
