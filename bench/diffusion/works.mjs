// What is measured: published run files, and what the project wants to reach (design section 13).
const mnist = 'examples/mnist-blur.yaml'; // 32 px, T 20, 11 taps, wrapped
const cifar = 'examples/cifar10-blur.yaml'; // 32 px, T 50, 11 taps, reflected; measured with its degradation only
const celeba = 'examples/celeba-blur.yaml'; // 128 px, T 200, 15 taps, reflected
const generation = 'examples/celeba-blur-generation.yaml'; // 128 px, T 300, 27 taps, wrapped, mean colour, 8 bits

/** `rounds` of the works whose calls take milliseconds, `fewRounds` of those that take seconds. */
export const works = ({ rounds, fewRounds }) => [
  { work: 'degradation, MNIST 32 px, batch 32', kind: 'degrade', file: mnist, batch: 32, rounds, target: null },
  { work: 'degradation, CIFAR-10 32 px, batch 32', kind: 'degrade', file: cifar, batch: 32, rounds, target: null },
  { work: 'degradation, CelebA 128 px, batch 8', kind: 'degrade', file: celeba, batch: 8, rounds, target: null },
  {
    work: 'degradation, CelebA generation 128 px, batch 8',
    kind: 'degrade',
    file: generation,
    batch: 8,
    rounds: fewRounds,
    target: null,
  },
  { work: 'training step, MNIST 32 px, batch 8', kind: 'train', file: mnist, batch: 8, rounds: fewRounds, target: 1.6 },
  {
    work: 'training step, CelebA 128 px, batch 2',
    kind: 'train',
    file: celeba,
    batch: 2,
    rounds: fewRounds,
    target: null,
  },
  {
    work: 'training step, CelebA generation 128 px, batch 2',
    kind: 'train',
    file: generation,
    batch: 2,
    rounds: fewRounds,
    target: 2,
  },
  {
    work: 'Algorithm 2, MNIST 32 px, batch 4',
    kind: 'sample',
    file: mnist,
    batch: 4,
    at: [20, 15, 10, 5, 1],
    rounds: fewRounds,
    target: null,
  },
  {
    work: 'Algorithm 2, CelebA generation 128 px, batch 1',
    kind: 'sample',
    file: generation,
    batch: 1,
    at: [300, 225, 150, 75, 1],
    rounds: Math.min(2, fewRounds),
    target: 3,
  },
];
