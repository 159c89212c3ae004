// Estimates of test images: each is computed once, however often it is scored.

/** The network calls of a curve: all severities, and ever fewer down to one, which is the direct restoration. */
export function callsOf(steps) {
  const calls = new Set([steps]);
  for (let share = 2; steps / share >= 1.5; share *= 2) calls.add(Math.round(steps / share));
  return [...calls.add(1)];
}

/** The same source; what it has estimated is kept. */
export function remembered(source) {
  const kept = new Map();
  return {
    ...source,
    async estimates(images) {
      const missing = images.filter((image) => !kept.has(image));
      if (missing.length > 0) (await source.estimates(missing)).forEach((found, i) => kept.set(missing[i], found));
      return images.map((image) => kept.get(image));
    },
  };
}
