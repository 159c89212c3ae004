/** A run whose programs are wide enough for blocked convolutions, Winograd and phases, and as small as the network can be. */
export const smallRun = {
  format: 'thaw.run/1',
  name: 'small',
  seed: 1,
  data: { dataset: 'none', size: 8, channels: 1, flip: false },
  degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 3, kernelStd: 1 },
  network: { kind: 'convnext-unet', dim: 16, mults: [1, 2] },
  loss: 'l1',
  optimizer: { learningRate: 1e-3 },
  ema: { decay: 0.9, every: 1, startStep: 0 },
  batch: { global: 2, micro: 2 },
  steps: 1,
  checkpoint: { everySteps: 1 },
};
