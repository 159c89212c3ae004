// What is measured: networks, sizes, batches, and what the project wants to reach (design section 13).
const small = { dim: 32, mults: [1, 2, 4], size: 28, channels: 1 };
const official64 = { dim: 64, mults: [1, 2, 4, 8], size: 64, channels: 3 };
const official128 = { ...official64, size: 128 };

const named = (name, network, kind, batch, target, rounds) => ({
  work: `${kind === 'train' ? 'training step' : 'forward'}, ${name}, batch ${batch}`,
  kind,
  ...network,
  batch,
  target,
  rounds,
});

/** `rounds` of the small works, `fewRounds` of those whose calls take seconds. */
export function works({ rounds, fewRounds }) {
  return [
    ...[2, 4, 8, 32].map((batch) => named('small 28 px', small, 'train', batch, batch < 8 ? null : 1.4, rounds)),
    named('official 64 px', official64, 'train', 4, 1.6, fewRounds),
    named('official 128 px', official128, 'train', 2, 1.6, fewRounds),
    ...[1, 2, 4, 8].map((batch) => named('small 28 px', small, 'forward', batch, 1.5, rounds)),
    ...[1, 2, 4, 8].map((batch) => named('official 64 px', official64, 'forward', batch, 1.4, fewRounds)),
    {
      ...named('official 64 px', official64, 'serving', 8, 1.4, fewRounds),
      work: 'forward, official 64 px, batches 1, 2, 4 and 8 in one process',
      batches: [1, 2, 4, 8],
    },
    {
      ...named('small 28 px', small, 'workers', 8, 1.8, rounds),
      work: 'two workers against one, small 28 px, batch 8',
    },
    ...[1, 2, 4, 8].map((batch) => named('official 128 px', official128, 'forward', batch, 1.3, fewRounds)),
    { work: 'Adam and average, 56.6 M parameters', kind: 'adam', parameters: 56_600_000, target: 1, rounds: fewRounds },
  ];
}
